"""Slices that are protected or resized: walked through rendered tables. For those that branch see test_branch_moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from journeys import all_arrive, arrives, consistent, flows, port_of, world
from networks import Network, chain, corridor, link_name, node_name, square
from packet_walk import Journey, World

from controller.core.entries import SELECTOR, CrossConnect, ProtectionGroup, SliceMeter, SlotAssignment, TableEntry
from controller.core.model import LinkKind, SliceHop, SliceRole, Stage
from controller.core.records import Placement, Record

SLOT_BPS = 10_009_306
SPARE = 99
"""A slice id that nothing else has."""


def standing(net: Network, **fields: object) -> Record:
    """From r1 to r3 over F-13."""
    record = net.stand(corridor(**fields))  # type: ignore[arg-type]
    assert record.target is not None
    assert record.target.leg.links == (link_name("F-13"),)
    return record


def protected(net: Network) -> Record:
    """The same corridor with a second slice over F-12 and F-23 that stands in for the first."""
    record = standing(net)
    assert record.target is not None
    assert record.target.slice is not None
    hops = tuple(SliceHop(link_name(name), "odu1-1", "30-40") for name in ("F-12", "F-23"))
    spare = replace(record.target.slice, id=SPARE, hops=hops, role=SliceRole.PROTECTION)
    leg = replace(record.target.leg, slices=(record.target.slice, spare))
    both = replace(record.target, leg=leg)
    net.records[record.name] = replace(record, current=both, target=both)
    return net.records[record.name]


def both_ways(net: Network, here: World, placement: Placement) -> list[Journey]:
    sent = []
    for flow in flows(net, placement):
        journey = here.send(flow.source.node, port_of(net, flow.source), flow.packet)
        assert journey.delivered == (flow.sink.node, port_of(net, flow.sink), placement.vrf)
        sent.append(journey)
    return sent


def test_a_protected_slice_carries_until_both_selectors_turn_and_then_the_other_does() -> None:
    net = Network.of(square())
    record = protected(net)
    assert record.target is not None
    assert record.target.slice is not None
    consistent(net.tables())
    all_arrive(net)  # over the working slice
    here, working = world(net), record.target.slice.id
    here.on_protection = {working}
    there, back = ["F-12", "F-23"], ["F-23", "F-12"]
    for journey in both_ways(net, here, record.target):
        direction = journey.channels[0][1]
        assert journey.fibres == [link_name(name) for name in (back if direction else there)]
        assert journey.channels == [(working, direction), (SPARE, direction)], "the router knows the working slice only"
        assert len(journey.slots) == 4, "at both ends of each fibre"
        assert [meter.transit for _, meter in journey.meters] == [False, True, True]


def test_only_the_ends_of_a_protected_slice_have_a_selector_and_only_routers_neighbours_a_sid() -> None:
    net = Network.of(square())
    plain = Network.of(square())
    standing(plain)
    record = protected(net)
    assert record.target is not None
    assert record.target.slice is not None
    working = record.target.slice.id
    tables, before = net.tables(), plain.tables()
    for router in (node_name(f"r{site}") for site in range(1, 5)):
        assert set(tables[router]) == set(before[router]), "routers are told nothing of it"
        assert all(isinstance(entry, TableEntry) or not hasattr(entry, "slice_id") for entry in tables[router])
    groups = {name: [e for e in entries if isinstance(e, ProtectionGroup)] for name, entries in tables.items()}
    port = {link.name: {link.a_node: link.a_port, link.z_node: link.z_port} for link in net.topology.links.values()}
    o1, o3 = node_name("o1"), node_name("o3")
    f12, f13, f23 = (port[link_name(name)] for name in ("F-12", "F-13", "F-23"))
    assert {name: found for name, found in groups.items() if found} == {
        o1: [ProtectionGroup(working, SPARE, 0, f13[o1], f12[o1])],
        o3: [ProtectionGroup(working, SPARE, 1, f13[o3], f23[o3])],
    }
    crossings = [(name, e) for name, entries in tables.items() for e in entries if isinstance(e, CrossConnect)]
    assert {(name, e.slice_id, e.direction) for name, e in crossings if e.out_port == SELECTOR} == {
        (o1, working, 0),
        (o3, working, 1),
    }
    client_ports = {(node_name(f"o{site}"), 1) for site in (1, 3)}
    assert not [e for name, e in crossings if e.slice_id == SPARE and (name, e.in_port) in client_ports]
    for name, entries in tables.items():
        metered = {(e.slice_id, e.direction) for e in entries if isinstance(e, SliceMeter)}
        assert metered == {(e.slice_id, e.direction) for where, e in crossings if where == name}


@pytest.mark.parametrize("count", [3, 11])
def test_meters_of_slices_follow_and_those_of_trails_do_not(count: int) -> None:
    net = Network.of(chain(4))
    record = net.stand(corridor(a=1, z=4, active=0 if count == 3 else 1))
    assert record.target is not None
    assert record.target.slice is not None
    own = record.target.slice.id
    trails = {link.slice_id: link.capacity_kbps for link in net.topology.of_kind(LinkKind.ADJACENCY)}
    for site in range(1, 5):
        meters = [e for e in net.tables()[node_name(f"o{site}")] if isinstance(e, SliceMeter)]
        assert {e.slice_id for e in meters if e.follows} == {own}
        for meter in meters:
            rate = trails.get(meter.slice_id, count * SLOT_BPS // 1000)
            burst = rate // 4
            limit = (rate + 512, 2 * burst) if meter.transit else (rate, burst)
            assert (meter.rate_kbps, meter.burst_kbit) == limit
    for flow in flows(net, record.target):
        journey = arrives(net, world(net), flow, record.target.vrf)
        assert [meter.transit for _, meter in journey.meters] == [False, True, True, True]


def test_the_slots_of_trails_say_that_their_rate_is_fixed() -> None:
    net = Network.of(chain(4))
    record = net.stand(corridor(a=1, z=4))
    assert record.target is not None
    assert record.target.slice is not None
    own = record.target.slice.id
    trails = {link.slice_id for link in net.topology.of_kind(LinkKind.ADJACENCY)}
    held = [entry for entries in net.tables().values() for entry in entries if isinstance(entry, SlotAssignment)]
    assert {entry.slice_id for entry in held} == {own} | trails
    assert all(entry.slot_bps == (0 if entry.slice_id in trails else SLOT_BPS) for entry in held)


@pytest.mark.parametrize(("active", "counts"), [((0, 1), [3, 11, 11, 11]), ((1, 0), [11, 11, 3, 3])])
def test_a_node_that_first_hears_of_a_slice_is_told_the_size_of_the_stage(
    active: tuple[int, int], counts: list[int]
) -> None:
    """BUILD: the one that stands; STEER: the larger; CLEAN: the new one."""
    net = Network.of(square())
    record = standing(net, active=active[0])
    net.ask(replace(record.corridor, active_profile=f"p{active[1]}"))
    told = []
    while True:
        assert record.target is not None
        assert record.target.slice is not None
        held = [e for e in net.tables()[node_name("o1")] if isinstance(e, SlotAssignment)]
        told += [e.active for e in held if e.slice_id == record.target.slice.id]
        if net.records[record.name].stage is Stage.SETTLED:
            break
        net.step(record.name)
    assert told == counts
