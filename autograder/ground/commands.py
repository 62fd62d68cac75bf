"""Have the learner's commands, kind and kubectl: in a folder of ours, and where a shell finds them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from autograder.ground import golang
from autograder.ground.step import tools

NAMES = ("kind", "kubectl")
SYSTEM = Path("/usr/local/bin")


def places() -> list[Path]:
    """Return where links to the commands may be."""
    return [folder / name for folder in (tools(), SYSTEM) for name in NAMES]


def there() -> bool:
    """Tell whether both commands of today's pins are there; in the system, some version of them is enough."""
    ours = all((tools() / name).resolve().parent == golang.folder() for name in NAMES)
    return ours and golang.built() and all(map(_found, NAMES))


def install() -> None:
    """Link both commands into our folder, and into the system's where nothing of the name is there."""
    for name in NAMES:
        _link(tools() / name)
        if ours(SYSTEM / name) or not _elsewhere(name):
            _link(SYSTEM / name)


def build() -> None:
    """Build the commands alone, for a cluster that is the user's own."""
    golang.build()
    install()


def _found(name: str) -> bool:
    return (SYSTEM / name).exists() or bool(_elsewhere(name)) or not os.access(SYSTEM, os.W_OK)


def _elsewhere(name: str) -> str | None:
    """Return which command of a name is found without our folder, which a lab's kernel has in its PATH."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(one for one in folders if Path(one) != tools()))


def ours(place: Path) -> bool:
    """Tell whether a link is one of ours, be it to something that is not there any more."""
    return place.is_symlink() and "shipyard" in str(place.readlink())


def _link(place: Path) -> None:
    """Let a link lead to today's program of its name; what is not ours stays, a kubectl of the user's own, say."""
    if not os.access(place.parent, os.W_OK):
        return
    if ours(place):
        place.unlink()
    if not place.exists():
        place.symlink_to(golang.folder() / place.name)
