"""A change loses no packet: at each stage, in each mixture of two stages, after each single write."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from journeys import (
    SLOT_BPS,
    Tables,
    all_arrive,
    arrives,
    carried,
    flows,
    port_of,
    stages,
    walk_through,
    world,
    writes,
)
from networks import (
    Network,
    chain,
    corridor,
    end_point,
    node_name,
    square,
)
from packet_walk import Lost, Packet

from controller.core.entries import MeterEntry, SliceMeter
from controller.core.model import Corridor, Isolation, Profile, Reservation, Status
from controller.core.render import render_record


@pytest.mark.parametrize("isolation", Isolation)
def test_a_move_never_loses_a_packet(isolation: Isolation) -> None:
    net = Network.of(square())
    standing = net.stand(corridor(isolation=isolation))
    assert standing.target is not None
    old = net.tables()
    kept = list(flows(net, standing.target))
    net.link(net.topology.links[standing.target.leg.links[0]].trail[0].rsplit("/", 1)[1] if isolation is Isolation.SOFT
             else standing.target.leg.links[0].rsplit("/", 1)[1], Status.DOWN)  # fmt: skip
    moved = net.ask(standing.corridor)
    assert moved.target is not None
    assert moved.target.leg.links != standing.target.leg.links
    before = old
    for tables in walk_through(net, moved.name):
        for flow in kept:
            carried(net, before, tables, flow, standing.target.vrf)
        before = tables


def larger(standing: Corridor) -> Corridor:
    return replace(standing, profiles=(Profile("p0", 400_000),))


def smaller(standing: Corridor) -> Corridor:
    return replace(standing, profiles=(Profile("p0", 5_000),))


def softer(standing: Corridor) -> Corridor:
    return replace(larger(standing), isolation=Isolation.SOFT)


def softer_and_smaller(standing: Corridor) -> Corridor:
    return replace(smaller(standing), isolation=Isolation.SOFT)


CHANGES = [larger, smaller, softer, softer_and_smaller]


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("change", CHANGES)
def test_not_one_write_of_a_change_loses_a_packet(
    change: Callable[[Corridor], Corridor], isolation: Isolation, cut: bool
) -> None:
    """After every single write, in the order of `diff`, the traffic arrives and no meter is below the shaper."""
    net = Network.of(square())
    standing = net.stand(corridor(rates=(100_000,), isolation=isolation))
    assert standing.target is not None
    kept, before = list(flows(net, standing.target)), net.tables()
    if cut:
        net.link("F-13", Status.DOWN)
        net.link("F-12", Status.DOWN)
    net.ask(change(standing.corridor))
    for tables in stages(net, standing.name):
        for mixed in writes(before, tables):
            here = world(net, mixed)
            for flow in kept:
                journey = here.send(flow.source.node, port_of(net, flow.source), flow.packet)
                assert journey.delivered == (flow.sink.node, port_of(net, flow.sink), standing.target.vrf)
                assert journey.shaper is not None
                assert all(m.rate_kbps * 1000 >= journey.shaper.rate * 8 for _, m in journey.meters)
        before = tables


def test_a_narrower_code_point_takes_over_before_the_wider_goes() -> None:
    """The entry of the new state stands before that of the old is taken away."""
    net = Network.of(square())
    standing = net.stand(corridor())
    marked, before = Packet("10.9.1.7", "10.9.3.7", dscp=46), net.tables()
    net.ask(replace(standing.corridor, a_end=replace(standing.corridor.a_end, dscp=46)))
    for tables in stages(net, standing.name):
        for mixed in writes(before, tables):
            assert world(net, mixed).send(node_name("r1"), 2, marked).delivered
        before = tables


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("change", CHANGES)
def test_a_roll_back_is_not_felt(change: Callable[[Corridor], Corridor], isolation: Isolation) -> None:
    net = Network.of(square())
    standing = net.stand(corridor(rates=(100_000,), isolation=isolation))
    assert standing.target is not None
    settled = net.tables()
    net.ask(change(standing.corridor))
    before = net.tables()
    net.roll_back(standing.name)
    for tables in stages(net, standing.name):
        for flow in flows(net, standing.target):
            carried(net, before, tables, flow, standing.target.vrf)
        before = tables
    assert {n: set(e) for n, e in net.tables().items()} == {n: set(e) for n, e in settled.items()}


def test_creation_and_removal_write_by_write() -> None:
    """A half-built or half-removed corridor delivers to its own port or not at all."""
    net = Network.of(square())
    net.stand(corridor("other", tenant="globex"))
    empty, before = net.tables(), net.tables()
    record = net.ask(corridor())
    assert record.target is not None
    there = list(flows(net, record.target))
    half_way = 0
    for begin in (lambda: record, lambda: net.remove(record.name)):
        begin()
        for tables in stages(net, record.name):
            for mixed in writes(before, tables):
                for flow in there:
                    with suppress(Lost):
                        sent = world(net, mixed).send(flow.source.node, port_of(net, flow.source), flow.packet)
                        assert sent.delivered == (flow.sink.node, port_of(net, flow.sink), record.target.vrf)
                        half_way += 1
            before = tables
    assert half_way
    assert {n: set(e) for n, e in before.items()} == {n: set(e) for n, e in empty.items()}


@pytest.mark.parametrize("active", [(0, 1), (1, 0)])
@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("reservation", Reservation)
def test_a_switch_keeps_the_optical_rate_above_the_shaper(
    active: tuple[int, int], isolation: Isolation, reservation: Reservation
) -> None:
    net = Network.of(square())
    wanted = corridor(isolation=isolation, active=active[0], reservation=reservation)
    standing = net.stand(wanted)
    assert standing.target is not None
    before = net.tables()
    net.ask(replace(standing.corridor, active_profile=f"p{active[1]}"))
    rates = []
    for tables in walk_through(net, wanted.name):
        for flow in flows(net, standing.target):
            carried(net, before, tables, flow, standing.target.vrf)
        rates.append(rates_of(tables))
        before = tables
    low, high = (slots * SLOT_BPS // 1000 for slots in (3, 11))  # 20 and 100 Mbit/s of packets of 1400 bytes
    slow, fast = min(shaper for shaper, _ in rates), max(shaper for shaper, _ in rates)
    if isolation is Isolation.SOFT:
        assert [shaper for shaper, _ in rates] == ([slow] + 3 * [fast] if active == (0, 1) else [fast] + 3 * [slow])
    elif active == (0, 1):  # BUILD, resized, STEER, CLEAN, SETTLED
        assert rates == [(slow, low), (slow, high), (fast, high), (fast, high), (fast, high)]
    else:  # BUILD, STEER, resized, CLEAN, SETTLED
        assert rates == [(fast, high), (slow, high), (slow, low), (slow, low), (slow, low)]


def rates_of(tables: Tables) -> tuple[int, int]:
    """(rate of the corridor's shaper, lowest rate of the meters at r1's OTN node)."""
    (shaper,) = {e.rate for e in tables[node_name("r1")] if isinstance(e, MeterEntry)}
    return shaper, min(e.rate_kbps for e in tables[node_name("o1")] if isinstance(e, SliceMeter))


def test_what_the_first_meter_lets_in_the_next_ones_do_not_drop() -> None:
    net = Network.of(chain(4))
    record = net.stand(corridor(a=1, z=4))
    assert record.target is not None
    for flow in flows(net, record.target):
        first, *others = [m for _, m in arrives(net, world(net), flow, record.target.vrf).meters]
        assert len(others) == 3
        assert all(m.rate_kbps >= first.rate_kbps and m.burst_kbit > first.burst_kbit for m in others)


def test_a_prefix_follows_its_port_with_the_traffic_not_before() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    net.ask(replace(standing.corridor, z_end=end_point(3, "acme", "acme-b")))
    ports = []
    for tables in stages(net, standing.name):
        journey = world(net, tables).send(node_name("r1"), 2, Packet("10.9.1.7", "10.9.3.7"))
        assert journey.delivered is not None
        ports.append(journey.delivered[1])
    assert ports == [2, 4, 4, 4]


def test_creation_steers_last_and_removal_first() -> None:
    net = Network.of(square())
    wanted = corridor()
    record = net.ask(wanted)
    assert record.target is not None
    steered = []
    for tables in stages(net, wanted.name):
        heads = [e for e in tables[node_name("r1")] if getattr(e, "table", "").startswith("classifier")]
        steered.append(bool(heads))
    assert steered == [False, True, True, True]
    standing = net.tables()
    net.remove(wanted.name)
    empty = Network.of(square()).tables()
    gone = []
    for tables in stages(net, wanted.name):
        heads = [e for e in tables[node_name("r1")] if getattr(e, "table", "").startswith("classifier")]
        slices = [e for e in tables[node_name("o1")] if getattr(e, "slice_id", 0) == record.target.slice.id]  # type: ignore[union-attr]
        gone.append((not heads, not slices))
        if not gone[-1][0]:
            all_arrive(net, tables)
    assert gone == [(False, False), (True, False), (True, True), (True, True)]
    assert standing != empty
    assert {n: set(e) for n, e in net.tables().items()} == {n: set(e) for n, e in empty.items()}


def test_the_same_record_renders_to_the_same_entries() -> None:
    net = Network.of(square())
    record = net.stand(corridor())
    first, second = (render_record(net.topology, net.ids, record) for _ in range(2))
    assert first == second
