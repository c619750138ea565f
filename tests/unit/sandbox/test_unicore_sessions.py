"""Security sessions: they end, and there are few of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from imagefactory.sandbox.unicore.core import Caller
from imagefactory.sandbox.unicore.sessions import PER_USER, SECONDS, Sessions
from imagefactory.sandbox.unicore.wire import now

ONE, OTHER = Caller("UID=one", "user"), Caller("UID=other", "user")


def test_a_session_names_its_caller_until_it_ends() -> None:
    sessions = Sessions()
    key = sessions.begin(ONE)
    assert sessions.find(key) == ONE
    assert sessions.find("unknown") is None
    sessions.end()
    assert sessions.find(key) is None


def test_a_session_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()
    key = sessions.begin(ONE)
    later = now() + timedelta(seconds=SECONDS)
    monkeypatch.setattr("imagefactory.sandbox.unicore.sessions.now", lambda: later)
    assert sessions.find(key) is None


def test_the_least_used_one_of_a_user_has_to_go() -> None:
    sessions = Sessions()
    others = sessions.begin(OTHER)
    keys = [sessions.begin(ONE) for _ in range(PER_USER)]
    assert sessions.find(keys[0]) == ONE  # now the second one is the least used
    sessions.begin(ONE)
    assert [sessions.find(key) is not None for key in keys] == [True, False, True, True, True]
    assert sessions.find(others) == OTHER
