"""Which pair of NESTML and ODE-toolbox is used, and which are refused before anything is done."""

from __future__ import annotations

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.nestml.versions import Pair, Target, choose_pair, require_nest, shipped_tools

SHIPPED = {Target.NEST: Pair("8.3.0", "2.5.12"), Target.SPINNAKER: Pair("8.2.0", "2.5.12")}


@pytest.mark.parametrize("target", list(Target))
def test_the_shipped_pair_is_used_and_is_known_to_work(target: Target) -> None:
    assert choose_pair(target) == SHIPPED[target]


def test_every_shipped_version_is_locked() -> None:
    locked = {item.requirement for item in shipped_tools().requirements}
    for pair in shipped_tools().shipped.values():
        assert {f"nestml=={pair.nestml}", f"odetoolbox=={pair.odetoolbox}"} <= locked


@pytest.mark.parametrize(
    ("target", "nestml", "odetoolbox", "why"),
    [
        (Target.SPINNAKER, "8.3.0", None, "_gsl_printer_no_origin"),
        (Target.SPINNAKER, "9.0.0", "3.0.0", "_gsl_printer_no_origin"),
        (Target.SPINNAKER, "8.2.0", "3.0.0", "KeyError propagators"),
        (Target.SPINNAKER, "8.0.2", "3.0.0", "KeyError propagators"),
        (Target.NEST, "8.0.0", "2.5.12", "2.5.8 or older"),
        (Target.NEST, "9.0.0", "3.0.0", "not among those locked"),
        (Target.NEST, "8.2.0", "2.5.11", "not among those locked"),
        (Target.SPINNAKER, "8.1.0", None, "not among those locked"),
        (Target.NEST, "7.0.0", None, "never tried"),
        (Target.NEST, "8.30.0", None, "never tried"),
        (Target.NEST, None, "2.50", "never tried"),
    ],
)
def test_a_pair_that_will_not_do(
    target: Target, nestml: str | None, odetoolbox: str | None, why: str
) -> None:
    with pytest.raises(UsageFault, match=why) as caught:
        choose_pair(target, nestml, odetoolbox)
    assert str(SHIPPED[target]) in caught.value.faults[0].fix


def test_a_pair_too_old_for_the_images_nest() -> None:
    pair = choose_pair(Target.NEST, "8.2.0")
    require_nest(pair, Target.NEST, "3.9.0")
    for nest in ("3.10.0", "3.11", "4.0"):
        with pytest.raises(UsageFault, match=rf"does not work with NEST {nest}: .*SLI"):
            require_nest(pair, Target.NEST, nest)
    require_nest(SHIPPED[Target.NEST], Target.NEST, "3.10.0")
