"""One registry, spoken to through oras' session and authentication.

oras 0.2.43 hides failures behind a decorator that retries everything, reads whole blobs into
memory and checks no digest (facts/building-blocks.md 6); its session and its token dance are what
we take, and each request is made here: with a timeout, and a status that becomes an error of ours.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused
from imagefactory.base.http import CONNECT_SECONDS, PAUSES, READ_SECONDS, explain_status, retrying
from imagefactory.base.values import ImageRef

if TYPE_CHECKING:
    import requests

# The system's authorities; requests would take those that certifi ships.
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
APPTAINER_LOGINS = Path("~/.apptainer/docker-config.json")
LONGEST_WAIT = 60.0  # seconds that a Retry-After may ask for


class Registry:
    """The registry of one reference; `sleep` is what waits between tries."""

    def __init__(self, ref: ImageRef, sleep: Callable[[float], None] = time.sleep) -> None:
        from oras.container import Container
        from oras.provider import Registry as Provider

        self._ref = ref
        self._sleep = sleep
        self._scheme = "http" if ref.is_loopback else "https"
        self._verify = _authorities()
        provider = Provider(ref.registry, insecure=ref.is_loopback, tls_verify=self._verify)
        self.session: requests.Session = provider.session
        self._auth = provider.auth
        logins = APPTAINER_LOGINS.expanduser()
        container = Container(f"{ref.registry}/{ref.repository}")
        self._auth.load_configs(container, configs=[str(logins)] if logins.is_file() else None)

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Any] | None = None,
        stream: bool = False,
        absent_is_fine: bool = False,
    ) -> requests.Response | None:
        """One request below /v2/REPOSITORY/, or at a whole address that the registry gave.

        `body` makes the body anew for each try. Temporary failures are tried again; every other
        one raises. None where there is no such thing and `absent_is_fine`.
        """

        def once() -> requests.Response | None:
            response = self._send(method, path, dict(headers or {}), body, stream)
            if response.status_code == 404 and absent_is_fine:
                return None
            if response.status_code >= 400:
                raise self._fault(response)
            return response

        return retrying(once, PAUSES, self._sleep)

    def address(self, path: str) -> str:
        """The whole address of a path in this repository."""
        if path.startswith(("http://", "https://")):
            return path
        if path.startswith("/"):
            return f"{self._scheme}://{self._ref.registry}{path}"
        return f"{self._scheme}://{self._ref.registry}/v2/{self._ref.repository}/{path}"

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Callable[[], Any] | None,
        stream: bool,
    ) -> requests.Response:
        import requests

        address = self.address(path)
        if address.startswith("http:") and self._scheme == "https":
            raise TrustRefused("the registry leads to an address without TLS", where=address)

        def send(extra: Mapping[str, str]) -> requests.Response:
            return self.session.request(
                method, address, headers={**headers, **extra}, data=body() if body else None,
                stream=stream, verify=self._verify, timeout=(CONNECT_SECONDS, READ_SECONDS),
            )  # fmt: skip

        try:
            response = send(self._token())
            if response.status_code in {401, 403} and (extra := self._authenticate(response)):
                response = send(extra)
        except requests.exceptions.SSLError as err:
            raise TrustRefused(
                f"the registry's certificate is not trusted ({err})",
                where=address,
                fix="set SSL_CERT_FILE to the file with its authority's certificate",
            ) from None
        except (requests.exceptions.RequestException, OSError) as err:
            raise ServiceAway(
                f"cannot reach the registry ({type(err).__name__})",
                where=address,
                fix="check its address, and that it is up; then again",
            ) from None
        if response.url.startswith("http:") and self._scheme == "https":
            raise TrustRefused("the registry redirects to an address without TLS", where=address)
        return response

    def _token(self) -> dict[str, str]:
        token = getattr(self._auth, "token", None)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _authenticate(self, response: requests.Response) -> dict[str, str]:
        """Headers that answer a challenge, or nothing where we know no answer."""
        challenge = response.headers.get("Www-Authenticate", "")
        basic = getattr(self._auth, "_basic_auth", None)
        if challenge.lower().startswith("basic"):
            return {"Authorization": f"Basic {basic}"} if basic else {}
        headers, changed = self._auth.authenticate_request(response, {}, refresh=True)
        return dict(headers) if changed else {}

    def _fault(self, response: requests.Response) -> FactoryError:
        where = response.url
        if response.status_code == 429:
            # RFC 9110 10.2.3; a date instead of seconds is not waited for.
            asked = response.headers.get("Retry-After", "")
            self._sleep(min(float(asked), LONGEST_WAIT) if asked.isdigit() else 0)
        if response.status_code in {401, 403}:
            return TrustRefused(
                f"the registry refused us ({response.status_code})",
                where=where,
                fix=f"log in: apptainer registry login -u USER docker://{self._ref.registry}",
            )
        if response.status_code == 413:
            return ToolFailed("the registry takes no file of this size (413)", where=where)
        return explain_status(response.status_code, where)


def _authorities() -> str | bool:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if os.environ.get(name):
            return os.environ[name]
    return str(AUTHORITIES) if AUTHORITIES.is_file() else True
