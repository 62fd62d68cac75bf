"""Hidden checks: never released."""

import subprocess
import sys

from autograder.checks import Finding, check
from autograder.facts import NotThere, fact
from autograder.labs import visible

base = visible(__file__)
HELD_OUT_NUMBER = 1234


class Seen(base.Seen):
    """See what the learner's program prints."""

    @fact
    def doubled(self):
        self.text("double.py")
        command = [sys.executable, "double.py", str(HELD_OUT_NUMBER)]
        ran = subprocess.run(command, cwd=self.work, capture_output=True, text=True, timeout=30)
        if ran.returncode:
            raise NotThere("double.py ended with an error.")
        return ran.stdout.strip()


@check("doubles", points=1, expects="double.py prints twice its number.", hint="Add it to itself.", chapter="tiny")
def doubles(seen):
    return Finding(seen.doubled == str(2 * HELD_OUT_NUMBER), f"double.py printed {seen.doubled!r}.")
