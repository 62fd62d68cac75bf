"""The fence around a submission's pods, called as the node's network calls it: for many pods at once."""

from __future__ import annotations

import json

import pytest

from autograder.ground import cluster
from autograder.probes.execs import run_in
from autograder.sandbox import fence

pytestmark = [pytest.mark.docker, pytest.mark.cluster]
# Addresses that the node gives to no pod. An address that another namespace had is given anew, without a DEL before.
CALLS = r"""
exec 3>&1  # where failures are told, whatever becomes of a call's output
call() {
    local said
    said=$(CNI_COMMAND=$1 CNI_ARGS="K8S_POD_NAMESPACE=$2;K8S_POD_NAME=any" $plugin <<< "$3") ||
        echo "$1 failed for $2: $said" >&3
    [ -z "$said" ] || echo "$said"
}
config() { echo '{"prevResult": {"ips": [{"address": "10.244.77.'$1'/24"}], "dns": {}}}'; }
pod() {
    call ADD lab-at-$(($1 % 4)) "$(config $1)" > /dev/null
    nft list map ip shipyard from | grep -q "10.244.77.$1 : jump from_lab_at_$(($1 % 4))\b" || echo "$1 is not fenced"
    for _ in 1 2; do call DEL lab-at-$(($1 % 4)) "$(config $1)"; done  # the second finds nothing, which is no fault
}
for _ in 1 2 3 4 5; do
    for number in $(seq 12); do pod $number & done
    wait
done
nft list table ip shipyard | grep -E '10\.244\.77|lab_at' && echo "something is left"
call ADD lab-at-1 "$(config 99)" > /dev/null
call ADD lab-at-2 "$(config 99)" > /dev/null
nft list table ip shipyard | grep at_1 && echo "the first owner still has it"
call ADD kube-system "$(config 99)"
nft list table ip shipyard | grep -E '10\.244\.77|lab_at' && echo "a pod of the cluster's own is fenced"
call DEL lab-at-1 '{}'
"""


@pytest.fixture
def node():
    if not cluster.own():
        pytest.skip("the cluster is not one that we brought up")
    api = cluster.connection()
    fence.fence(api)
    yield cluster.node_container()
    api.close()


def test_pods_that_come_and_go_at_once_are_each_fenced_and_leave_nothing(node):
    script = f"plugin={fence.FOLDER}/{fence.PLUGIN}\n{CALLS}"
    said = run_in(node, ["bash", "-c", script]).output.decode().splitlines()
    assert [json.loads(line) for line in said] == [{"ips": [{"address": "10.244.77.99/24"}], "dns": {}}]
