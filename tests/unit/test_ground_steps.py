"""Steps are run in order, once, resumably, and say what went wrong."""

import pytest

from autograder.facts import CannotCheck
from autograder.ground.keys import key_of
from autograder.ground.progress import duration
from autograder.ground.step import Step, StepFailed, climb


class Machine:
    """A machine on which steps leave a mark, and which can be made to fail."""

    def __init__(self):
        self.there: set[str] = set()
        self.ran: list[str] = []
        self.broken: set[str] = set()

    def step(self, name: str) -> Step:
        return Step(name, "because", 1, lambda: name in self.there, lambda: self.run(name))

    def run(self, name: str) -> None:
        self.ran.append(name)
        if name in self.broken:
            raise CannotCheck("no room", "make room")
        self.there.add(name)


def climb_quietly(steps):
    said = []
    climb(steps, lambda event, step, seconds: said.append((event, step.name)))
    return said


def test_what_is_there_is_not_made_again():
    machine = Machine()
    machine.there = {"engine"}
    said = climb_quietly([machine.step("engine"), machine.step("cluster")])
    assert machine.ran == ["cluster"]
    assert said == [("ready", "engine"), ("start", "cluster"), ("done", "cluster")]


def test_after_a_failure_a_second_climb_continues_where_it_stopped():
    machine = Machine()
    steps = [machine.step(name) for name in ("engine", "images", "cluster")]
    machine.broken = {"images"}
    with pytest.raises(StepFailed) as failed:
        climb_quietly(steps)
    assert (failed.value.cause, failed.value.fix) == ("images: no room", "make room")
    machine.broken = set()
    climb_quietly(steps)
    assert machine.ran == ["engine", "images", "images", "cluster"]


def test_a_step_that_ran_without_effect_is_a_failure():
    useless = Step("cluster", "because", 1, lambda: False, lambda: None)
    with pytest.raises(StepFailed, match="not there afterwards"):
        climb_quietly([useless])


def test_a_key_changes_with_each_pin_and_each_file(tmp_path):
    pins = tmp_path / "go.sum"
    pins.write_text("one")
    before = key_of("v1", pins)
    pins.write_text("two")
    assert len({before, key_of("v1", pins), key_of("v2", pins)}) == 3


@pytest.mark.parametrize("seconds, said", [(0.4, "0 s"), (61, "1 min 1 s"), (600, "10 min"), (3599, "60 min")])
def test_durations_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said
