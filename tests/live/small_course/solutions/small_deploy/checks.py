"""Judge two objects in a namespace."""

from autograder import versions
from autograder.checks import Finding, check
from autograder.facts import NotThere, Observation, fact
from autograder.ground.reset import Made
from autograder.probes.apiserver import call
from autograder.probes.docker import Docker
from autograder.probes.engine import asking
from autograder.probes.kubernetes import Kube

MADE = Made(deployments=("web",))


def start(place):
    """Push the base image under the name that the lab uses."""
    client = Docker(place.docker_host).client
    with asking("push the image"):
        client.images.get(versions.PYTHON_IMAGE).tag(f"{place.registry}/small", "v1")
        client.images.push(f"{place.registry}/small", "v1")


class Seen(Observation):
    """See the namespace."""

    @fact
    def kube(self):
        return Kube(self.place)

    @fact
    def digit(self):
        found = call("read a ConfigMap", self.kube.core.read_namespaced_config_map, "answer", self.kube.namespace)
        if found is None:
            raise NotThere("There is no ConfigMap answer.")
        return (found.data or {}).get("digit")


@check("digit_kept", points=1, expects="The ConfigMap holds 7.", hint="A ConfigMap has keys.", chapter="small")
def digit_kept(seen):
    return Finding(seen.digit == "7", f"digit is {seen.digit}.")


@check("web_runs", points=2, expects="The Deployment web runs.", hint="Look at its pods.", chapter="small")
def web_runs(seen):
    return Finding(True, f"{seen.kube.deployment('web').wait_rolled_out(60).ready} replicas are ready.")
