"""Read which Python packages a requirements.txt asks for, which an image holds, and which are installed here."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from autograder.facts import CannotCheck, NotThere
from autograder.probes.words import cut

METADATA = re.compile(r"/([A-Za-z0-9._]+)-([^/-]+)\.dist-info/METADATA$")  # what pip leaves of each package
LARGEST = 100_000  # characters of a requirements.txt that are read


def pins(path: Path) -> dict[str, str]:
    """Return package -> the one version that a requirements.txt names for it, "" where it leaves a choice.

    Raises NotThere for no file, and for a line that is no package.
    """
    if path.is_symlink() or not path.is_file():
        raise NotThere(f"There is no file {path.parent.name}/{path.name}.", "Run the cell that writes it.")
    found = {}
    for line in path.read_text(errors="replace")[:LARGEST].splitlines():
        if not (text := line.split("#")[0].strip()):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            raise NotThere(f"{path.parent.name}/{path.name} has a line that names no package: {cut(text, 80)}",
                           "A line is a package's name, two equal signs and a version.") from None  # fmt: skip
        exact = [one.version for one in wanted.specifier if one.operator in ("==", "===") and "*" not in one.version]
        found[canonicalize_name(wanted.name)] = exact[0] if exact else ""
    return found


def versions(files: Iterable[str]) -> dict[str, str]:
    """Return package -> version of what pip has installed among these paths.

    >>> versions(["/usr/lib/python3/site-packages/scikit_learn-1.9.1.dist-info/METADATA"])
    {'scikit-learn': '1.9.1'}
    """
    return {canonicalize_name(one[1]): one[2] for one in filter(None, map(METADATA.search, files))}


def same_version(found: str | None, wanted: str) -> bool:
    """Tell whether two spellings mean one version; None is no version.

    >>> same_version("3.1", "3.1.0"), same_version(None, "3.1")
    (True, False)
    """
    try:
        return found is not None and Version(found) == Version(wanted)
    except InvalidVersion:
        return found == wanted


def installed(package: str) -> dict[str, int]:
    """Return path -> bytes of the Python files of a package that is installed here. CannotCheck where it is not."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        raise CannotCheck(f"The package {package} is not installed where the checks run.", "Run `make install`.")
    folder = Path(spec.origin).parent
    return {path.relative_to(folder.parent).as_posix(): path.stat().st_size for path in folder.rglob("*.py")}
