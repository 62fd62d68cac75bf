"""What a command started ends with it, also where the command itself was quick to go."""

import subprocess
import time

from autograder.ending import end_group
from autograder.waiting import wait_until


def test_a_child_that_ignores_the_polite_signal_ends_with_its_quick_leader(tmp_path):
    alive = tmp_path / "alive"
    stubborn = f"(trap '' TERM; while :; do touch {alive}; sleep 0.05; done) & wait"
    process = subprocess.Popen(["sh", "-c", stubborn], start_new_session=True)
    wait_until(alive.exists, "the child to run", timeout=10)
    end_group(process)
    alive.unlink()
    time.sleep(0.5)  # ten times its pause: it would have been back
    assert not alive.exists()
