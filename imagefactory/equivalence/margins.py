"""The margins of equivalence: fixed in advance, in a versioned file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

from imagefactory.base.files import digest_of_text
from imagefactory.base.settings import load_schema, read_yaml
from imagefactory.base.values import Digest

PACKAGE = "imagefactory.equivalence"
SHIPPED, SPINNAKER = "margins.yaml", "margins-spinnaker.yaml"


@dataclass(frozen=True)
class Margins:
    """What must hold for EQUIVALENT; see margins.yaml for each number's meaning."""

    name: str
    version: int
    alpha: float
    power: float
    least_runs: int
    least_warmup_ms: float
    means: Mapping[str, float]
    least_correlation_difference: float
    excess: Mapping[str, float]
    frozen_excess: Mapping[str, float]
    description: str = ""

    @cached_property
    def digest(self) -> Digest:
        """sha256 of the content; comments and layout of the file do not matter."""
        document = asdict(self)
        del document["description"]
        return digest_of_text(json.dumps(document, sort_keys=True))

    def excess_of(self, frozen: bool) -> Mapping[str, float]:
        """The margins of the excesses, where all runs share one network or have their own."""
        return self.frozen_excess if frozen else self.excess

    def of_mean(self, measure: str, reference: float) -> float:
        """The margin of a mean's difference, in the measure's own unit."""
        margin = self.means[measure] * abs(reference)
        return (
            max(margin, self.least_correlation_difference) if measure == "correlation" else margin
        )


def load_margins(path: Path | None = None, backends: Collection[str] = ()) -> Margins:
    """The margins in this file, or the shipped ones for sides of these backends.

    Raises ConfigurationFault with all faults.
    """
    schema = load_schema(PACKAGE, "margins.schema.json")
    if path is not None:
        document = read_yaml(path, schema)
    else:
        name = SPINNAKER if any(each.startswith("spinnaker") for each in backends) else SHIPPED
        with as_file(files(PACKAGE).joinpath(name)) as shipped:
            document = read_yaml(shipped, schema)
    del document["schema"]
    return Margins(**document)
