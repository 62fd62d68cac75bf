"""Put wrong answers to different tasks into one notebook: one grading shows the verdicts of all of them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.cli.handed import Handed
from autograder.grading.outcome import Outcome
from autograder.labs import find_lab
from autograder.release.attempts import Attempt
from autograder.release.handing_in import reference


@dataclass(frozen=True)
class Group:
    """Hold attempts that are handed in by one learner, in one notebook; most often there is one."""

    at: Handed
    attempt: Attempt  # what is handed in
    members: tuple[Attempt, ...]

    @property
    def name(self) -> str:
        """What the attempts are called: `no_retry+no_cache`."""
        return self.attempt.name

    def beside(self, member: Attempt) -> list[str]:
        """Return the names of the other ones."""
        return [one.name for one in self.members if one != member]

    def of(self, member: Attempt, outcome: Outcome) -> Outcome:
        """Return what grading them all says about one of them: without the checks that others fail."""
        others = {name for one in self.members if one != member for name in one.fails}
        return replace(outcome, results=tuple(one for one in outcome.results if one.name not in others))


def alone(handed: Mapping[Handed, Attempt]) -> list[Group]:
    """Return each attempt as a group of its own."""
    return [Group(at, one, (one,)) for at, one in handed.items()]


def grouped(handed: Mapping[Handed, Attempt]) -> list[Group]:
    """Return groups of attempts whose answers fit into one notebook, each handed in by its first one's learner.

    Only those fit that fail different checks: whatever one of them fails, all of
    the others pass when they are alone, so that a check's verdict has one cause.
    Right answers and broken notebooks stay alone, what has seconds of its own,
    and what says `alone: true`: it changes how another mistake shows.
    """
    bases = {slug: reference(find_lab(slug)) for slug in {slug for _, slug in handed}}
    groups: list[Group] = []
    for (learner, slug), one in sorted(handed.items(), key=lambda each: -len(each[1].fails)):
        for n, group in enumerate(groups):
            both = joined(group.attempt, one, bases[slug]) if group.at[1] == slug else None
            if both:
                groups[n] = Group(group.at, both, (*group.members, one))
                break
        else:
            groups.append(Group((learner, slug), one, (one,)))
    return groups


def joined(one: Attempt, other: Attempt, base: Mapping[str, str]) -> Attempt | None:
    """Return an attempt with the mistakes of both, None where they do not fit; `base` holds the lab's own answers."""
    if not (mixes(one) and mixes(other)) or one.fails.keys() & other.fails.keys():
        return None
    answers = dict(one.answers)
    for name, source in other.answers.items():
        merged = merge(base[name], answers.get(name, base[name]), source)
        if merged is None:
            return None
        answers[name] = merged
    return Attempt(f"{one.name}+{other.name}", f"{one.title}; {other.title}", "wrong", one.fails | other.fails, answers)


def mixes(attempt: Attempt) -> bool:
    """Tell whether an attempt may stand in one notebook with others."""
    return attempt.kind == "wrong" and not attempt.edit and not attempt.alone and attempt.seconds == Attempt.seconds


def merge(base: str, one: str, other: str) -> str | None:
    """Return a text with both edits of `base`, None where they touch the same lines.

    >>> merge("a\\nb\\nc\\nd", "A\\nb\\nc\\nd", "a\\nb\\nc\\nD")
    'A\\nb\\nc\\nD'
    >>> merge("a", "b", "c")
    """
    if base in (one, other):
        return other if base == one else one
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("one", one), ("base", base), ("other", other)):
            Path(folder, name).write_text(f"{text}\n", encoding="utf-8")
        command = ["git", "merge-file", "--stdout", "--quiet", "one", "base", "other"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    return ran.stdout.removesuffix("\n") if ran.returncode == 0 else None
