"""Slice rates, and changes under traffic, measured with numbered packets end to end."""

from __future__ import annotations

import chain_entries
import pytest
from chain_entries import BLOCK, VRFS, corridor, terminal
from flows import flow
from p4_client import DELETE, INSERT, MODIFY
from router_chain import inside, mac
from waiting import wait_until

pytestmark = pytest.mark.root
ADDRESSES = {4: "10.3.0.2", 6: "2001:db8:3::2"}


def test_changes_under_traffic_lose_nothing(unchanged):
    """Policy, next hop, classifier, route and slice rate change again and again under 2000 packets per second."""
    client, arrival, vrf = unchanged.clients["r1"], unchanged.clients["r3"], VRFS["a"]
    schema, entry = client.schema, client.schema.entry
    first = corridor(schema, "r1", "a", chain_entries.default_carriers("r1", "a"), 1)[:1]
    other = corridor(schema, "r1", "a", {6: [f"{BLOCK}:2::", f"{BLOCK}:{terminal('r3', 'a', 6)}::"]}, 2)[:1]
    second = {"vrf": vrf, "src": chain_entries.ternary("2001:db8:9::/64")}
    classifier = entry("classifier_v6", second, "set_policy", 700, policy=56, corridor=77, mtu=1400)
    link = [
        entry("next_hop", {"next_hop": 1}, "to_adjacency", port=p, src_mac=mac("r1", p), dst_mac=mac("r2", p))
        for p in (1, 2)
    ]
    customer_route = {"vrf": vrf, "dst": "2001:db8:3::/64"}
    attached = arrival.schema.entry("route_v6", customer_route, "set_next_hop", next_hop=100 + vrf)
    with flow("h1", "h3", ADDRESSES[6], size=200, per_second=2000, count=4000) as result:
        for turn in range(10):
            client.write(MODIFY, other)
            client.write(MODIFY, [schema.meter(vrf, 5_000_000 + 1000 * turn, 20_000), link[1]])
            client.write(INSERT, [classifier])
            client.write(MODIFY, first)
            client.write(DELETE, [classifier])
            client.write(MODIFY, [link[0]])
            arrival.write(MODIFY, [attached])
    client.write(MODIFY, [schema.meter(vrf)])
    assert result.lost == 0


def test_slice_rate_is_what_was_asked_for(unchanged):
    """Twice as much is offered as the cell lets pass; frames count with encapsulation, preamble, FCS and gap.

    The packets are small, so that a forgotten gap or tunnel header would be more than the tolerance.
    """
    client, rate, size = unchanged.clients["r1"], 1_250_000, 300
    wire = size + 8 + 40 + 40 + 14 + 24
    client.write(MODIFY, [client.schema.meter(VRFS["a"], rate, 20_000)])
    with flow("h1", "h3", ADDRESSES[6], size=size, per_second=2 * rate // wire, count=4 * rate // wire) as result:
        pass
    client.write(MODIFY, [client.schema.meter(VRFS["a"])])
    assert result.rate * wire / size == pytest.approx(rate, rel=0.03)
    assert result.lost > 0


def shaped(vrf):
    """Packets that customer a's class on port 1 of r1 has sent."""
    text = inside("r1", "tc", "-s", "class", "show", "dev", "eth1", "classid", f"1:{vrf:x}").stdout
    return int(text.split(" pkt")[0].rsplit(" ", 1)[1])


def test_growing_and_shrinking_a_full_slice_loses_nothing_behind_the_shaper(unchanged):
    """What the shaper has sent arrives, while its rate changes ten times with a standing queue."""
    client, vrf = unchanged.clients["r1"], VRFS["a"]
    client.write(MODIFY, [client.schema.meter(vrf, 500_000, 20_000)])
    with flow("h1", "h3", ADDRESSES[6], size=500, per_second=2000, count=3000) as result:
        for turn in range(10):
            sent = shaped(vrf)
            wait_until(lambda sent=sent: shaped(vrf) > sent + 50, "the shaper sends")
            client.write(MODIFY, [client.schema.meter(vrf, 400_000 + 400_000 * (turn % 2), 20_000)])
    sent = shaped(vrf)
    client.write(MODIFY, [client.schema.meter(vrf)])
    assert result.lost > 0
    assert sent == result.received


def test_traffic_outside_a_corridor_has_its_own_class(unchanged):
    """Customer b is not slowed down by the full slice of customer a on the same port."""
    client = unchanged.clients["r1"]
    client.write(MODIFY, [client.schema.meter(VRFS["a"], 100_000, 20_000)])
    with (
        flow("h1", "h3", ADDRESSES[6], size=1000, per_second=1000, count=1500),
        flow("h1b", "h3b", ADDRESSES[6], size=1000, per_second=500, count=500) as other,
    ):
        pass
    client.write(MODIFY, [client.schema.meter(VRFS["a"])])
    assert other.lost == 0
