"""NetworkPolicies are read as Kubernetes' documentation says: who may connect with which port."""

import pytest

from autograder.probes.fences import Target, admits, lets_in_addresses, matches, ports, selecting

READER = Target({"app": "reader", "tier": "model"}, {"http": 8000})
CLIENT, STRANGER = {"app": "client"}, {"app": "stranger"}


def policy(pods=None, ingress=None, **spec):
    """Return a policy about `pods` with these ingress rules."""
    return {"spec": {"podSelector": pods or {}, **({} if ingress is None else {"ingress": ingress}), **spec}}


def only(source, *ports):
    return {"from": [{"podSelector": {"matchLabels": source}}], "ports": [{"port": port} for port in ports]}


def who(*policies, port=8000):
    """Return whether the client and the stranger are let in."""
    return [admits(list(policies), READER, source, port, "here") for source in (CLIENT, STRANGER)]


def test_without_a_policy_everybody_is_let_in():
    assert who() == [True, True]
    assert who(policy({"matchLabels": {"app": "other"}})) == [True, True]
    assert who(policy({}, None, policyTypes=["Egress"])) == [True, True]


def test_a_policy_without_rules_lets_nobody_in():
    assert who(policy()) == [False, False]
    assert who(policy({"matchLabels": {"app": "reader"}}, [])) == [False, False]


def test_ports_and_addresses_that_rules_name_are_listed():
    wide = policy({}, [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": "http"}, {"port": 80}, {}]}])
    assert ports([wide], READER) == {80, 8000}
    assert lets_in_addresses([wide], READER)
    assert not lets_in_addresses([policy({}, [only(CLIENT, 8000)])], READER)


def test_rules_of_several_policies_add_up():
    assert who(policy(), policy({"matchLabels": {"tier": "model"}}, [only(CLIENT, 8000)])) == [True, False]


@pytest.mark.parametrize(
    ("rule", "let_in"),
    [
        ({}, [True, True]),
        (only(CLIENT, 8000), [True, False]),
        (only(CLIENT, "http"), [True, False]),
        (only(CLIENT, 80), [False, False]),
        (only(CLIENT), [True, False]),
        ({"ports": [{"port": 7000, "endPort": 9000}]}, [True, True]),
        ({"ports": [{"port": 8000, "protocol": "UDP"}]}, [False, False]),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, [False, False]),
        ({"from": [{"podSelector": {"matchLabels": CLIENT}}, {"namespaceSelector": {}}]}, [True, True]),
        ({"from": [{"podSelector": {"matchLabels": CLIENT}, "namespaceSelector": {}}]}, [True, False]),
        ({"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "there"}}}]}, [False, False]),
    ],
)
def test_one_rule(rule, let_in):
    assert who(policy({}, [rule])) == let_in


def test_a_port_that_the_pod_does_not_name_is_closed():
    assert who(policy({}, [only(CLIENT, "web")])) == [False, False]


def test_selectors():
    assert matches({}, STRANGER) and matches(None, {})
    assert matches({"matchExpressions": [{"key": "app", "operator": "In", "values": ["client", "x"]}]}, CLIENT)
    assert not matches({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["client"]}]}, CLIENT)
    assert matches({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, CLIENT)
    assert not matches({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, CLIENT)


def test_only_policies_about_the_pod_are_named():
    about = policy({"matchLabels": {"app": "reader"}})
    assert selecting([about, policy({"matchLabels": {"app": "x"}})], READER) == [about]
