"""The order of the kernel's rules when an agent takes over from an earlier one, which asked a VRF before a corridor."""

from __future__ import annotations

import json

import pytest
from flows import flow
from router_chain import inside

pytestmark = pytest.mark.root

EARLIER = {70: 200, 80: 300, 81: 310}
"""Preferences of the rules for corridors: now → then."""
SINCE = (60, 61, 62, 90, 99)
"""Preferences of which the earlier agent knew nothing."""


def rules_of(router, family):
    shown = json.loads(inside(router, "ip", family, "-j", "rule", "show").stdout)
    return sorted((rule for rule in shown if rule.get("protocol") == "200"), key=str)


def put_in_the_earlier_order(router, family):
    """Such that no packet in between finds less: what closes goes first, then ways are added, then some are removed."""
    standing = rules_of(router, family)
    lines = ["del pref 90"]
    for rule in standing:
        if rule["priority"] in EARLIER:
            where = f"fwmark {rule['fwmark']}/{rule['fwmask']} lookup {rule['table']} protocol 200"
            lines.append(f"add pref {EARLIER[rule['priority']]} {where}")
    obsolete = sorted(rule["priority"] for rule in standing if rule["priority"] in (*EARLIER, *SINCE))
    lines += [f"del pref {preference}" for preference in reversed(obsolete) if preference != 90]
    for line in lines:
        inside(router, "ip", family, "rule", *line.split())


def test_the_order_of_an_earlier_agent_is_put_right_under_traffic(unchanged):
    client, agent = unchanged.clients["r1"], unchanged.agents["r1"]
    before = client.read_all(), rules_of("r1", "-6"), rules_of("r1", "-4")
    client.close()
    agent.kill()
    with (
        flow("h1", "h3", "10.3.0.2", size=200, per_second=500, count=2500) as ipv4,
        flow("h1b", "h3b", "2001:db8:3::2", size=200, per_second=500, count=2500) as ipv6,
    ):
        for family in ("-6", "-4"):
            put_in_the_earlier_order("r1", family)
        assert rules_of("r1", "-6") != before[1]
        assert rules_of("r1", "-4") != before[2]
        agent.restart()
        client = unchanged.connect("r1", election_id=1)
        assert (client.read_all(), rules_of("r1", "-6"), rules_of("r1", "-4")) == before
    assert (ipv4.lost, ipv6.lost) == (0, 0)
