"""Security sessions: who holds one is not asked for a token again until it ends."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from imagefactory.sandbox.unicore.core import Caller
from imagefactory.sandbox.unicore.wire import now

SECONDS = 28800
# USE's default: container.security.sessionsPerUser; the one that was used longest ago has to go.
PER_USER = 5


@dataclass(frozen=True)
class _Session:
    caller: Caller
    expires: datetime


class Sessions:
    """The sessions of all callers; may be asked from many threads."""

    def __init__(self) -> None:
        self._known: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def begin(self, caller: Caller) -> str:
        """A new session; of more than PER_USER of one caller the least used one ends."""
        key = secrets.token_hex(16)
        with self._lock:
            same = [name for name, held in self._known.items() if held.caller.dn == caller.dn]
            for name in same[: max(len(same) + 1 - PER_USER, 0)]:
                del self._known[name]
            self._known[key] = _Session(caller, now() + timedelta(seconds=SECONDS))
        return key

    def find(self, key: str) -> Caller | None:
        """Whose session it is; None: it has ended. It counts as used now."""
        with self._lock:
            held = self._known.pop(key, None)
            if held is None or held.expires <= now():
                return None
            self._known[key] = held
            return held.caller

    def end(self) -> None:
        """Forget all of them, as a restarted server does."""
        with self._lock:
            self._known.clear()
