"""Only what is temporary is tried again; every failure has its exit code."""

from __future__ import annotations

import httpx
import pytest

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused
from imagefactory.base.http import explain, explain_status, retrying


class Flaky:
    def __init__(self, *failures: FactoryError) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_what_is_away_is_tried_again_after_each_pause() -> None:
    slept: list[float] = []
    call = Flaky(ServiceAway("busy"), ServiceAway("busy"))
    assert retrying(call, (1, 2, 3), slept.append) == "answer"
    assert slept == [1, 2]


def test_it_is_given_up_after_the_last_pause() -> None:
    call = Flaky(*[ServiceAway("busy")] * 9)
    with pytest.raises(ServiceAway):
        retrying(call, (1, 2), lambda _: None)
    assert call.calls == 3


def test_a_refusal_is_tried_once() -> None:
    call = Flaky(TrustRefused("wrong password"))
    with pytest.raises(TrustRefused):
        retrying(call, (1, 2), lambda _: None)
    assert call.calls == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, TrustRefused), (403, TrustRefused), (404, ToolFailed), (429, ServiceAway),
     (500, ServiceAway), (503, ServiceAway), (418, ToolFailed)],
)  # fmt: skip
def test_a_status_has_its_error(status: int, kind: type[FactoryError]) -> None:
    assert type(explain_status(status, "https://registry.test")) is kind


def test_a_certificate_that_is_not_trusted() -> None:
    err = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    assert isinstance(explain(err, "https://registry.test"), TrustRefused)
    assert isinstance(explain(httpx.ConnectTimeout("slow"), "https://registry.test"), ServiceAway)
