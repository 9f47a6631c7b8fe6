"""Next-hop groups: what they need, what holds them, and what becomes of them when a port goes down."""

from __future__ import annotations

import re

import pytest
from chain_entries import BLOCK
from finsy.proto import p4r
from p4_client import DELETE, INSERT, MODIFY, additions, canonical, outcomes
from router_chain import inside, mac, reaches
from scapy.layers.inet6 import UDP, IPv6
from scapy.layers.l2 import Ether
from test_linux_forwarding import ADDRESSES, frames
from waiting import wait_until

pytestmark = pytest.mark.root
GROUP_ID = 0x10000


def members_in_kernel(router, group):
    """Next hop → weight."""
    text = inside(router, "ip", "nexthop", "show", "id", str(GROUP_ID | group), check=False).stdout
    found = re.search(r"group (\S+)", text)
    parts = (item.partition(",") for item in found[1].split("/")) if found else ()
    return {int(next_hop): int(weight or 1) for next_hop, _, weight in parts}


def route(client, group, dst="2001:db8:1::/64"):
    return client.schema.entry("route_v6", {"vrf": 7, "dst": dst}, "set_next_hop_group", group=group)


@pytest.fixture
def two_ways(unchanged):
    """At r2, a group of the two adjacencies to r1, and a route by it."""
    client = unchanged.clients["r2"]
    entries = [client.schema.group(7, (1, 1, 1), (2, 3, 2)), route(client, 7)]
    client.write(INSERT, entries)
    yield client, entries
    client.write(DELETE, entries)


def test_weights_are_the_kernels(two_ways):
    client, _ = two_ways
    assert members_in_kernel("r2", 7) == {1: 1, 2: 3}
    client.write(MODIFY, [client.schema.group(7, (2, 60, 2))])
    assert members_in_kernel("r2", 7) == {2: 60}


def test_order_of_members_says_nothing(two_ways):
    client, (group, _) = two_ways
    before = client.read_all()
    client.write(MODIFY, [client.schema.group(7, (2, 3, 2), (1, 1, 1))])
    assert client.read_all() == before
    assert canonical([group]) <= before


WRONG = [
    (lambda s: s.group(21, (999, 1, 1)), "ABORTED", "next hop 999 is none"),
    (lambda s: s.group(22, (1, 1, 2)), "UNIMPLEMENTED", "leaves by port 1"),
    (lambda s: s.group(23, (1, 1, 1), (1, 2, 1)), "UNIMPLEMENTED", "once in a group"),
    (lambda s: s.group(24, (1, 0, 1)), "INVALID_ARGUMENT", "weight 0"),
    (lambda s: s.group(25, (1, 64, 1), (2, 1, 2)), "RESOURCE_EXHAUSTED", "64 at most"),
    (lambda s: s.group(26), "INVALID_ARGUMENT", "an action at least"),
    (lambda s: watching(s, 27, None), "UNIMPLEMENTED", "leaves by port 1"),
    (lambda s: watching(s, 28, "watch"), "UNIMPLEMENTED", "watch_port"),
    (lambda s: indirect(s, 29, action_profile_group_id=3), "UNIMPLEMENTED", "one shot"),
    (lambda s: indirect(s, 40, action=p4r.Action(action_id=0x01000011)), "UNIMPLEMENTED", "one shot"),
    (lambda s: s.entry("route_v6", {"vrf": 7}, "set_next_hop_group", group=5), "ABORTED", "next-hop group 5 is none"),
]


def watching(schema, group, kind):
    """A member with no port to watch, or with one in the field of old."""
    entity = schema.group(group, (1, 1, 1))
    (item,) = entity.table_entry.action.action_profile_action_set.action_profile_actions
    item.ClearField("watch_port")
    if kind:
        setattr(item, kind, 1)
    return entity


def indirect(schema, group, **action):
    entity = schema.group(group, (1, 1, 1))
    entity.table_entry.action.CopyFrom(p4r.TableAction(**action))
    return entity


def test_wrong_groups_are_refused_one_by_one(unchanged):
    client = unchanged.clients["r2"]
    found = outcomes(client, additions([make(client.schema) for make, *_ in WRONG]))
    assert [code.name for code, _ in found] == [code for _, code, _ in WRONG]
    for (_, said), (*_, words) in zip(found, WRONG, strict=True):
        assert words in said


def test_what_a_group_needs_stays(two_ways):
    """Neither its next hops nor the group itself can go, nor a next hop to another port than the one watched."""
    client, (group, way) = two_ways
    adjacency = {"src_mac": mac("r2", 3), "dst_mac": mac("r3", 1)}
    moved = client.schema.entry("next_hop", {"next_hop": 50}, "to_adjacency", port=3, **adjacency)
    back = {"src_mac": mac("r2", 2), "dst_mac": mac("r1", 2)}
    original = client.schema.entry("next_hop", {"next_hop": 50}, "to_adjacency", port=2, **back)
    client.write(INSERT, [original])
    client.write(MODIFY, [client.schema.group(7, (1, 1, 1), (50, 1, 2))])
    for kind, entity, needed_by in (
        (DELETE, original, "next_hop_group"),
        (MODIFY, moved, "next_hop_group"),
        (DELETE, group, "route_v6"),
    ):
        ((code, said),) = outcomes(client, [p4r.Update(type=kind, entity=entity)])
        assert (code.name, needed_by in said) == ("FAILED_PRECONDITION", True), said
    # Together with its group it moves.
    client.write(MODIFY, [client.schema.group(7, (1, 1, 1), (50, 1, 3)), moved])
    assert members_in_kernel("r2", 7) == {1: 1, 50: 1}
    # Order in a batch is no matter: all of it goes, and comes back.
    client.write(DELETE, [moved, client.schema.group(7, (1, 1, 1), (50, 1, 3)), way])
    client.write(INSERT, [way, group])


def test_dead_port_leaves_the_group_and_the_traffic_takes_the_others(unchanged):
    """From r2 back to r1 there are two ways; both next hops die in turn, and are written again."""
    client, far = unchanged.clients["r2"], unchanged.clients["r1"]
    schema, dst = client.schema, {"vrf": 0, "dst": f"{BLOCK}:1::/48"}
    group = schema.group(7, (1, 1, 1), (2, 1, 2))
    client.write(INSERT, [group])
    client.write(MODIFY, [schema.entry("route_v6", dst, "set_next_hop_group", group=7)])
    whole = {router: unchanged.clients[router].read_all() for router in ("r1", "r2")}
    inside("r1", "ip", "link", "set", "eth2", "down")
    try:
        wait_until(lambda: members_in_kernel("r2", 7) == {1: 1}, "the kernel has taken the member out")
        assert reaches("h1", ADDRESSES[6])
        missing = whole["r2"] - client.read_all()
        assert canonical([group]) <= missing
        again = outcomes(client, [p4r.Update(type=MODIFY, entity=group)])
        assert [code.name for code, _ in again] == ["ABORTED"]
        assert members_in_kernel("r2", 7) == {1: 1}
    finally:
        inside("r1", "ip", "link", "set", "eth2", "up")
    wait_until(lambda: "LOWER_UP" in inside("r2", "ip", "link", "show", "eth2").stdout, "carrier is back")
    restore(unchanged, whole)
    client.write(MODIFY, [schema.entry("route_v6", dst, "set_next_hop", next_hop=1)])
    client.write(DELETE, [group])
    assert far.read_all() == whole["r1"]


def restore(chain, whole):
    """What a controller does: missing keys are inserted, changed ones modified."""
    for router, entries in whole.items():
        client = chain.clients[router]
        standing = client.read_all()
        keys = {key_of(entity) for entity in standing}
        updates = [
            p4r.Update(type=MODIFY if key_of(entity) in keys else INSERT, entity=p4r.Entity.FromString(entity))
            for entity in entries - standing
        ]
        client.send(updates)
        assert client.read_all() == entries


def key_of(entity):
    key = p4r.Entity.FromString(entity)
    key.table_entry.ClearField("action")
    return key.SerializeToString(deterministic=True)


def test_flows_are_shared_out_by_flow_label(unchanged):
    """Sixty-four flows of one pair of addresses, told apart by nothing but the label, take both links."""
    client, head = unchanged.clients["r2"], unchanged.clients["r3"]
    schema, dst = client.schema, {"vrf": 0, "dst": f"{BLOCK}:1::/48"}
    client.write(INSERT, [schema.group(7, (1, 1, 1), (2, 1, 2))])
    client.write(MODIFY, [schema.entry("route_v6", dst, "set_next_hop_group", group=7)])
    before = {port: frames("r2", port) for port in (1, 2)}
    for label in range(64):
        head.stream.send(1, labelled(label))
    wait_until(lambda: sum(frames("r2", port) - before[port] for port in (1, 2)) >= 64, "all have passed")
    used = {port: frames("r2", port) - before[port] for port in (1, 2)}
    assert all(count >= 12 for count in used.values()), used
    client.write(MODIFY, [schema.entry("route_v6", dst, "set_next_hop", next_hop=1)])
    client.write(DELETE, [schema.group(7, (1, 1, 1))])


def labelled(label):
    packet = IPv6(src=f"{BLOCK}:3::9", dst=f"{BLOCK}:1:ffff::9", fl=label * 4099 % (1 << 20)) / UDP(dport=9)
    return bytes(Ether(src=mac("r3", 1), dst=mac("r2", 3)) / packet)
