"""Slices are as large as bandwidth and latency need, in the container that holds them, where there is room for it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from bookkeeping import SLOT_KBPS, numbers, slice_of, slots, taken, wire
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Network, adjacency, chain, corridor, domain, fibre, link_name, square

from controller.core.alternatives import plan_or_explain
from controller.core.errors import Infeasible
from controller.core.model import Container, Isolation, Link, Profile, Protection, Reservation, Status
from controller.core.plan import plan

NODES_US = 2 * (15 + 25)
PACKET_BITS = 8 * (1500 + 40)
GFP_KBPS = Fraction(239, 238) * Fraction("1249177.230") * Fraction(238, 239)
"""Of one slot of an ODUflex(GFP) in an ODU2, without the overhead of its frame: what it carries is a little less."""


def clocked_us(slot_count: int) -> int:
    return ceil(PACKET_BITS * 1000 / (slot_count * SLOT_KBPS))


def row(*links: Link) -> Network:
    sites = {int(node.rsplit("/o", 1)[1]) for link in links for node in (link.a_node, link.z_node) if "/o" in node}
    return Network.of(domain(sorted(sites), links))


def test_a_thin_slice_gets_the_slots_that_its_latency_bound_needs() -> None:
    """1540 bytes take 1231 µs in one slot, 870 µs are left: two slots; the shaper stays at the bandwidth."""
    net = Network.of(square())
    record = net.stand(corridor(a=1, z=2, rates=(5_000,), max_latency_us=1000))
    assert slots(5_000) == 1
    assert slice_of(record).active_slots == slice_of(record).claimed_slots == 2
    assert record.target is not None
    assert record.target.forward_kbps == wire(5_000)
    assert record.target.leg.latency_us == 50 + NODES_US + clocked_us(2) <= 1000


@settings(max_examples=40, deadline=None)
@given(st.integers(1_000, 1_000_000), st.integers(140, 3_000))
def test_slots_are_the_larger_of_what_bandwidth_and_latency_need(kbps: int, bound: int) -> None:
    net = Network.of(chain(2))
    wanted = corridor(a=1, z=2, rates=(kbps,), max_latency_us=bound)
    left = bound - NODES_US - 20
    part = slice_of(net.stand(wanted))
    least = next(n for n in range(1, 120) if clocked_us(n) <= left)
    assert part.active_slots == max(slots(kbps), least)


@pytest.mark.parametrize("reservation", Reservation)
def test_every_profile_has_what_latency_needs_whichever_is_active(reservation: Reservation) -> None:
    net = Network.of(square())
    wanted = corridor(a=1, z=2, rates=(5_000, 180_000), max_latency_us=300, reservation=reservation)
    least = next(n for n in range(1, 120) if clocked_us(n) <= 300 - NODES_US - 50)
    assert slots(5_000) < least < slots(180_000)
    for name, active in (("p0", least), ("p1", slots(180_000)), ("p0", least)):
        record = net.stand(replace(wanted, active_profile=name))
        assert slice_of(record).active_slots == active
        assert slice_of(record).claimed_slots == (slots(180_000) if reservation is Reservation.PEAK else active)
        assert record.target is not None
        assert record.target.leg.latency_us == 50 + NODES_US + clocked_us(least)


def test_a_tighter_bound_thickens_the_slice_where_it_stands() -> None:
    net = Network.of(square())
    standing = net.stand(corridor(a=1, z=2, rates=(5_000,)))
    changed = net.stand(replace(standing.corridor, max_latency_us=1000))
    old, new = slice_of(standing), slice_of(changed)
    assert (new.id, new.active_slots) == (old.id, 2)
    assert numbers(old.hops[0].slots) < numbers(new.hops[0].slots)


def test_where_the_fastest_way_has_no_room_for_so_many_slots_the_next_one_is_asked() -> None:
    """The near fibre has one slot left: enough for the bandwidth, but too slow; the far one has what it needs."""
    near, far = fibre("F-near", 1, 2, 50, (Container.ODU0,)), fibre("F-far", 1, 2, 400, (Container.ODU0,))
    net = row(replace(near, line_slots=1), replace(far, line_slots=1))
    net.stand(corridor("big", 1, 2, rates=(1_118_000,), tenant="globex"))
    assert slots(1_118_000) == 118
    record = net.stand(corridor(a=1, z=2, rates=(5_000,), max_latency_us=800))
    least = next(n for n in range(1, 120) if clocked_us(n) <= 800 - NODES_US - 400)
    assert [hop.link for hop in slice_of(record).hops] == [link_name("F-far")]
    assert slice_of(record).active_slots == least


def test_more_than_one_fgoduflex_holds_runs_in_slots_of_the_line() -> None:
    net = Network.of(chain(3))
    before = taken(net.ledger)
    record = net.stand(corridor(a=1, z=3, rates=(100_000, 3_000_000), active=0))
    part = slice_of(record)
    count = ceil(wire(3_000_000) / GFP_KBPS)
    assert (part.container, part.claimed_slots, part.active_slots) == (Container.ODUFLEX, count, 1)
    assert all(hop.server == "line" and len(numbers(hop.slots)) == count for hop in part.hops)
    grown = net.stand(replace(record.corridor, active_profile="p1"))
    assert (slice_of(grown).id, slice_of(grown).active_slots) == (part.id, count)
    assert slice_of(grown).hops == part.hops
    net.take_away(record.name)
    assert taken(net.ledger) == before


def test_lines_that_are_full_have_no_room_for_an_oduflex_however_empty_their_servers_are() -> None:
    full = fibre("F-full", 1, 2, 10, 4 * (Container.ODU1,))
    free = fibre("F-free", 1, 2, 900, ())
    net = row(full, free)
    record = net.stand(corridor(a=1, z=2, rates=(3_000_000,)))
    assert [hop.link for hop in slice_of(record).hops] == [link_name("F-free")]
    net.link("F-free", Status.DOWN)
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(net.snapshot, corridor("c2", a=1, z=2, rates=(3_000_000,), tenant="globex"))
    assert refusal.value.reason == "NO_CAPACITY"
    assert refusal.value.metadata["links"] == link_name("F-full")
    most = int(refusal.value.metadata["maxBandwidthKbps"])
    assert slots(most) == 119
    assert slots(most + 1) == 120


def test_the_smallest_line_on_the_way_gives_an_oduflex_its_slots() -> None:
    """On lines of ODU4 alone a slot carries 1.30 Gbit/s, with an ODU2 among them 1.25."""
    large = [
        replace(fibre("F-12", 1, 2, 10, ()), line=Container.ODU4, line_slots=80),
        replace(fibre("F-23", 2, 3, 10, ()), line=Container.ODU4, line_slots=80),
    ]
    small = fibre("F-23", 2, 3, 10, ())
    kbps = 8_900_000
    counts = []
    for net in (row(*large), row(large[0], small)):
        part = slice_of(net.stand(corridor(a=1, z=3, rates=(kbps,))))
        counts.append(part.claimed_slots)
        assert part.container is Container.ODUFLEX
    assert counts == [ceil(wire(kbps) / Fraction("1301300")), ceil(wire(kbps) / Fraction("1249000"))] == [8, 8]
    more = corridor(a=1, z=3, rates=(9_600_000,))
    assert slice_of(row(*large).stand(more)).claimed_slots == 8
    with pytest.raises(Infeasible) as refusal:
        row(large[0], small).ask(more)
    assert refusal.value.reason in ("NO_PATH", "NO_CAPACITY", "CONTAINER_TOO_SMALL")


def test_a_cheaper_way_over_small_lines_is_not_missed_for_the_sake_of_large_ones() -> None:
    near = fibre("F-near", 1, 2, 10, ())
    far = replace(fibre("F-far", 1, 2, 900, ()), line=Container.ODU4, line_slots=80)
    part = slice_of(row(near, far).stand(corridor(a=1, z=2, rates=(3_000_000,))))
    assert [hop.link for hop in part.hops] == [link_name("F-near")]


def test_a_protected_pair_has_slots_for_the_slower_of_its_routes() -> None:
    net = row(fibre("F-near", 1, 2, 50), fibre("F-far", 1, 2, 500))
    record = net.stand(corridor(a=1, z=2, rates=(5_000,), max_latency_us=1000, protection=Protection.PROTECT))
    assert record.target is not None
    least = next(n for n in range(1, 120) if clocked_us(n) <= 1000 - NODES_US - 500)
    assert [part.active_slots for part in record.target.leg.slices] == [least, least]
    assert record.target.leg.latency_us == 500 + NODES_US + clocked_us(least)
    assert record.target.leg.links == (link_name("F-near"),)


def test_a_soft_corridor_that_routers_make_too_late_is_told_that_a_slice_would_do() -> None:
    """Five routers and as many clockings on the way, or none of them."""
    net = Network.of(chain(6, servers=(Container.ODU0,)))
    wanted = corridor(a=1, z=6, isolation=Isolation.SOFT, rates=(100_000,), max_latency_us=450)
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(net.snapshot, wanted)
    assert refusal.value.reason == "LATENCY_BOUND"
    hard = plan(net.snapshot, replace(wanted, isolation=Isolation.HARD)).record.corridor
    assert int(refusal.value.metadata["hardLatencyUs"]) == hard.legs[0].latency_us <= 450
    assert "HARD" in str(refusal.value)
    uneven = replace(wanted, profiles=(Profile("p0", 100_000, 1_000),))
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(net.snapshot, uneven)
    assert "hardLatencyUs" not in refusal.value.metadata, "a slice has the same bandwidth both ways"


def test_a_slice_is_not_offered_where_it_would_be_late_too() -> None:
    links = [fibre("F-1", 1, 2, 900), adjacency("A-1", 1, 2, ["F-1"], 900)]
    wanted = corridor(a=1, z=2, isolation=Isolation.SOFT, rates=(100_000,), max_latency_us=500)
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(Network.of(domain((1, 2), links)).snapshot, wanted)
    assert "hardLatencyUs" not in refusal.value.metadata
