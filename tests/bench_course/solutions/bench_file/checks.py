"""Judge a file."""

from autograder.checks import Finding, check
from autograder.facts import NotThere, Observation, fact
from autograder.ground.reset import Made

MADE = Made()


class Seen(Observation):
    """See the file."""

    @fact
    def answer(self) -> str:
        path = self.work / "answer"
        if not path.is_file():
            raise NotThere("There is no file answer.")
        return path.read_text()


@check("written", points=1, expects="The file answer holds 42.", hint="Write it.", chapter="bench")
def written(seen: Seen) -> Finding:
    return Finding(seen.answer == "42", f"The file holds {seen.answer[:20]!r}.")
