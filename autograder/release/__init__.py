"""Make what learners get: solutions/<slug>/ -> source/<slug>/ -> labs/<slug>/."""

from autograder.release.problems import Problem, ReleaseError

__all__ = ["Problem", "ReleaseError", "drift", "leaks", "release", "release_all"]


def __getattr__(name: str):
    """Load the working parts when they are first used: nbgrader reads its configuration without them."""
    if name in ("release", "release_all", "drift"):
        from autograder.release import releasing

        return getattr(releasing, name)
    if name == "leaks":
        from autograder.release.leaking import leaks

        return leaks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
