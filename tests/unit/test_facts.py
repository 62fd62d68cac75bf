"""An observation looks once, shares its failures, and removes what looking created."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from autograder.facts import CannotCheck, NotThere, Observation, Place, fact


class Seen(Observation):
    def __init__(self, place):
        super().__init__(place)
        self.looked, self.left = [], []

    @fact
    def image(self):
        self.looked.append("image")
        return object()

    @fact
    def container(self):
        self.looked.append("container")
        raise NotThere("It ended at once.", "Read its log.")

    @fact
    def answer(self):
        self.looked.append("answer")
        return self.container, "never"

    @fact
    def cluster(self):
        self.looked.append("cluster")
        raise CannotCheck("The cluster is down.")

    @fact
    def made(self):
        return self.closing(self.thing("first")), self.closing(self.thing("second"))

    @contextmanager
    def thing(self, name):
        yield name
        self.left.append(name)


@pytest.fixture
def seen(tmp_path):
    return Seen(Place(work=tmp_path))


def test_a_fact_is_looked_up_once(seen):
    assert seen.image is seen.image
    assert seen.looked == ["image"]


def test_nothing_is_looked_up_before_it_is_asked_for(seen):
    assert seen.looked == []


def test_a_failure_is_kept_and_inherited(seen):
    for _ in range(2):
        with pytest.raises(NotThere, match="It ended at once") as failure:
            _ = seen.answer
        assert failure.value.hint == "Read its log."
    with pytest.raises(NotThere):
        _ = seen.container
    assert seen.looked == ["answer", "container"]


def test_not_being_able_to_look_says_what_to_do(seen):
    with pytest.raises(CannotCheck) as failure:
        _ = seen.cluster
    assert "doctor" in failure.value.fix


def test_closing_removes_what_was_made_the_last_first(seen):
    with seen:
        assert seen.made == ("first", "second")
        assert seen.left == []
    assert seen.left == ["second", "first"]


def test_two_observations_share_nothing(tmp_path):
    one, two = Seen(Place(work=tmp_path)), Seen(Place(work=tmp_path))
    assert one.image is not two.image


def test_a_place_has_sensible_defaults():
    place = Place(work=Path("somewhere"))
    assert (place.namespace, place.kubeconfig, place.docker_host) == ("default", None, None)
