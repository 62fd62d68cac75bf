"""Hidden checks: never released."""

import subprocess
import sys

from autograder.checks import Finding, check
from autograder.facts import NotThere, fact

from . import checks as base

HELD_OUT_NUMBER = 1234


class Seen(base.Seen):
    """See what the learner's program prints."""

    @fact
    def doubled(self):
        command = [sys.executable, "double.py", str(HELD_OUT_NUMBER)]
        ran = subprocess.run(command, cwd=self.work, capture_output=True, text=True, timeout=30)
        if ran.returncode:
            raise NotThere("double.py ended with an error.")
        return ran.stdout.strip()


@check("doubles", points=1, expects="double.py prints twice its number.", hint="Add it to itself.", chapter="tiny")
def doubles(seen):
    if not (seen.work / "double.py").is_file():  # a reason why nothing was asked may be told
        return Finding(False, "There is no file double.py.")
    return Finding(seen.doubled == str(2 * HELD_OUT_NUMBER), f"double.py printed {seen.doubled!r}.")
