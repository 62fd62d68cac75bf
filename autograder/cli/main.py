"""Gather the commands of `shipyard`."""

from __future__ import annotations

import signal
import sys
import traceback
from typing import NoReturn

import typer
from rich.console import Console

from autograder.cli import bench, develop, flaky, grade, ground, lab, labs, regrade
from autograder.facts import CannotCheck
from autograder.ground.step import cache_dir
from autograder.release.problems import ReleaseError

INTERRUPTED = 130  # the code with which typer ends after Ctrl-C
console = Console(soft_wrap=True)
typed = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Labs that put ML models into containers and onto clusters, graded by live state.",
)  # fmt: skip
for module in (ground, grade, regrade, lab, labs, flaky, develop, bench):
    module.register(typed)


def app() -> None:
    """Run the command line; a fault is said in plain words, never as a traceback."""
    # A script's `shipyard grade &` inherits "ignore Ctrl-C", and so would all that we start and later interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for other in (signal.SIGTERM, signal.SIGHUP):  # a terminal that is closed, say: tidy up as after Ctrl-C
        if signal.getsignal(other) is signal.SIG_DFL:  # `nohup` has it ignored
            signal.signal(other, signal.default_int_handler)
    try:
        typed()
    except CannotCheck as fault:
        say(fault.cause, fault.fix)
    except ReleaseError as mistakes:  # a lab's author made them
        say(str(mistakes), "Correct the lab's source, then run the same command again.")
    except Exception:
        log = cache_dir() / "failure.log"
        log.write_text(traceback.format_exc())
        cause = f"This went wrong in Shipyard itself: {sys.exc_info()[1]}"
        say(cause, f"Run it again; if it comes back, report it with {log}")
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        console.print("\nStopped. The same command continues where this one stopped.")
        sys.exit(INTERRUPTED)


def say(cause: str, fix: str) -> NoReturn:
    """Print what happened and what to do, and end with a failure."""
    console.print(ground.in_words(cause, fix), highlight=False)
    sys.exit(1)
