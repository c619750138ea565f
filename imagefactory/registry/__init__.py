"""A SIF is in an OCI registry under a digest, and every byte that comes back was checked."""

from imagefactory.registry.image_facts import RegistryFacts
from imagefactory.registry.locks import RegistryLocks
from imagefactory.registry.manifest import Artifact
from imagefactory.registry.transfer import (
    PullPlan,
    PushPlan,
    plan_pull,
    plan_push,
    pull,
    push,
    resolve,
)

__all__ = [
    "Artifact",
    "PullPlan",
    "PushPlan",
    "RegistryFacts",
    "RegistryLocks",
    "plan_pull",
    "plan_push",
    "pull",
    "push",
    "resolve",
]
