"""Checks of a lab that needs neither Docker nor a cluster."""

import os
from pathlib import Path

from autograder.checks import Finding, check
from autograder.facts import CannotCheck, NotThere, Observation, fact


class Seen(Observation):
    """See the files that the notebook wrote."""

    @fact
    def answer(self):
        return self.text("answer.txt")

    @fact
    def words(self):
        ruler = os.environ.get("TINY_RULER")
        if ruler and not Path(ruler).exists():
            raise CannotCheck("The ruler is not there.", "Put the ruler back, then grade again.")
        return self.text("notes/words.txt").split()

    def text(self, name):
        path = self.work / name
        if not path.is_file():
            raise NotThere(f"There is no file {name}.")
        return path.read_text().strip()


@check("answer_is_42", points=2, expects="answer.txt holds 42.", hint="Six times seven.", chapter="tiny#answer")
def answer_is_42(seen):
    return Finding(seen.answer == "42", f"answer.txt holds {seen.answer!r}.")


@check("words_kept", points=1.5, expects="notes/words.txt holds three words.", hint="Count them.", chapter="tiny#words")
def words_kept(seen):
    return Finding(min(len(seen.words), 3) / 3, f"notes/words.txt holds {len(seen.words)} words.")


@check("given_intact", points=1, expects="given.txt is as it was given.", hint="Do not edit it.", chapter="tiny#given")
def given_intact(seen):
    return Finding(seen.text("given.txt") == "This file is the course's.", "given.txt was read.")
