"""Hand a submission's folder into a sandbox, and take it back: files and folders only, no links, a limited size."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import IO

from docker.errors import DockerException

from autograder.facts import CannotCheck
from autograder.probes.execs import stdout_of
from autograder.probes.tars import Stream
from autograder.sandbox.box import Box
from autograder.sandbox.limits import Limits

LONGEST = 200  # bytes of a name
DEEPEST = 20  # folders within folders


class TooMuch(Exception):
    """Say that a folder holds more than a submission may."""


def hand_in(work: Path, it: Box) -> None:
    """Copy a submission's folder to where the sandbox reads it. Raises TooMuch for more than its limits."""
    target, size = it.folder / "in" / "work", 0
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o755)
    for number, path in enumerate(sorted(work.rglob("*"))):
        info = path.lstat()
        size += info.st_size
        if number >= it.limits.files or size > it.limits.handed_in:
            raise TooMuch(f"The submission has more than {it.limits.files} files or {it.limits.handed_in >> 20} MB.")
        copy = target / path.relative_to(work)
        if stat.S_ISDIR(info.st_mode):
            copy.mkdir(mode=0o755)
        elif stat.S_ISREG(info.st_mode):
            shutil.copyfile(path, copy)
            copy.chmod(0o755 if info.st_mode & 0o100 else 0o644)


def take_back(it: Box, work: Path, keep: str) -> list[str]:
    """Replace a folder's content by what the learner's folder in the sandbox holds now; return what was left out.

    The learner's processes have ended before. The file `keep` stays as it is on
    our side. A sandbox that ran out of memory gives nothing back: the folder
    stays as it was handed in. Raises CannotCheck where the sandbox is gone for
    another reason.
    """
    try:
        it.end_learner()
    except CannotCheck:
        if it.out_of_memory():
            return ["everything: the notebook used up the sandbox's memory"]
        raise
    try:
        pieces = stdout_of(it.container, ["tar", "-C", "/work", "--one-file-system", "-c", "."], user="root")
        with tempfile.TemporaryDirectory(dir=work.parent, prefix=".shipyard-") as scratch:
            fresh = Path(scratch) / "work"
            fresh.mkdir()
            left_out = unpack(io.BufferedReader(Stream(pieces)), fresh, it.limits)
            for old in work.iterdir():
                if old.name != keep:
                    shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
            for new in fresh.iterdir():
                if new.name != keep:
                    new.rename(work / new.name)
    except (DockerException, OSError) as error:
        raise CannotCheck(f"The learner's files could not be read from the sandbox: {error}", "Grade again.") from error
    return left_out


def unpack(stream: IO[bytes], target: Path, limits: Limits) -> list[str]:
    """Write the files of a tar stream below a folder; return a line for each thing that was left out.

    Nothing in the stream can lead elsewhere: links and devices are not made,
    and a name may not go up or begin at the root.
    """
    left_out, size, count = [], 0, 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=1) as tar:
            for entry in tar:
                path = PurePosixPath(entry.name)
                if not path.parts:
                    continue
                count += 1
                size += entry.size
                if count > limits.files or size > limits.handed_in:
                    left_out.append(f"all after {entry.name[:80]!r}: more than {limits.files} files or "
                                    f"{limits.handed_in >> 20} MB")  # fmt: skip
                    break
                if why := _odd(path, entry):
                    left_out.append(f"{entry.name[:80]!r} ({why})")
                elif entry.isdir():
                    (target / path).mkdir(parents=True, exist_ok=True)
                else:
                    (target / path).parent.mkdir(parents=True, exist_ok=True)
                    with tar.extractfile(entry) as source, (target / path).open("xb") as copy:
                        shutil.copyfileobj(source, copy)
                    (target / path).chmod(0o755 if entry.mode & 0o100 else 0o644)
    except (tarfile.TarError, UnicodeError, EOFError) as error:
        left_out.append(f"the rest ({error})")
    return left_out


def _odd(path: PurePosixPath, entry: tarfile.TarInfo) -> str:
    if path.is_absolute() or ".." in path.parts:
        return "its name leads elsewhere"
    if any(len(part.encode(errors="surrogateescape")) > LONGEST for part in path.parts) or len(path.parts) > DEEPEST:
        return "its name is too long"
    if any(not part.isprintable() for part in path.parts):
        return "its name cannot be printed"
    if entry.issym() or entry.islnk():
        return "a link"
    if not entry.isdir() and not entry.isreg():
        return "no file"
    return ""
