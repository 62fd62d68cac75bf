"""List the addons that a lab may need in the cluster, by the name of the need."""

from __future__ import annotations

from collections.abc import Iterable

from autograder.ground.addon import Addon
from autograder.ground.kserve import KServe
from autograder.ground.trainer import Trainer

ADDONS: dict[str, Addon] = {addon.name: addon for addon in (Trainer(), KServe())}


def needed(needs: Iterable[str]) -> list[Addon]:
    """Return the addons among some needs.

    >>> [addon.name for addon in needed(["docker", "kserve"])]
    ['kserve']
    """
    return [ADDONS[need] for need in needs if need in ADDONS]


def controllers(needs: Iterable[str]) -> dict[str, str]:
    """Return the controllers of the addons among some needs: namespace -> name of the Deployment."""
    return {namespace: name for addon in needed(needs) for namespace, name in addon.namespaces.items()}
