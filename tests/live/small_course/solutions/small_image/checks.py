"""Judge an image that takes a second to build."""

from autograder.checks import Finding, check
from autograder.facts import Observation, fact
from autograder.ground.reset import Made
from autograder.probes.docker import Docker

MADE = Made()


class Seen(Observation):
    """See the image and a container of it."""

    @fact
    def image(self):
        return Docker(self.place.docker_host).build(self.work / "app", timeout=60)

    @fact
    def uids(self):
        with Docker(self.place.docker_host).run(self.image, name_hint="small") as container:
            return container.uids


@check("builds", points=1, expects="The image builds.", hint="Read the last lines.", chapter="small")
def builds(seen):
    return Finding(True, f"The image has {len(seen.image.layers)} layers.")


@check("word_in_image", points=2, expects="The image holds the word.", hint="COPY brings files in.", chapter="small")
def word_in_image(seen):
    where = seen.image.contains(b"harbour")
    return Finding(where is not None, f"The word is in {where}.")


@check("not_root", points=1, expects="No process is root's.", hint="USER decides.", chapter="small")
def not_root(seen):
    return Finding(0 not in seen.uids, f"The processes run as {seen.uids}.")
