"""Waiting returns what came, and says what was seen where nothing came."""

import pytest

from autograder.waiting import TimedOut, wait_until


def test_returns_what_the_probe_returned():
    answers = iter([0, "", None, "ready"])
    assert wait_until(lambda: next(answers), "an answer", timeout=10, pause=0) == "ready"


def test_listed_failures_mean_not_yet_and_others_are_raised():
    answers = iter([ConnectionError("refused"), 7])

    def probe():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_until(probe, "an answer", timeout=10, pause=0, failures=(ConnectionError,)) == 7
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0, "a number", timeout=10, failures=(ConnectionError,))


def test_the_end_says_what_was_seen_last():
    def probe():
        raise ConnectionError("refused")

    with pytest.raises(TimedOut, match="waited 0 s for the server; last seen: refused"):
        wait_until(probe, "the server", timeout=0, failures=(ConnectionError,))
    with pytest.raises(TimedOut) as seen:
        wait_until(lambda: 0, "a pod", timeout=0)
    assert seen.value.last == 0


def test_the_probe_is_asked_once_even_without_time():
    assert wait_until(lambda: True, "now", timeout=0) is True
