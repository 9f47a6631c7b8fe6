"""Planning: what is claimed, and what a change keeps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil

import pytest
from bookkeeping import SLOT_KBPS, free_at, numbers, slice_of, slots, taken, wire
from networks import (
    Network,
    adjacency,
    chain,
    corridor,
    domain,
    end_point,
    fibre,
    link_name,
    node_name,
    square,
)

from controller.core.entries import SlotAssignment
from controller.core.errors import FailedPrecondition
from controller.core.model import (
    Container,
    Isolation,
    Link,
    Profile,
    Reservation,
    Stage,
    Status,
)
from controller.core.otn import Claim, RowKey
from controller.core.plan import plan, removal


@pytest.mark.parametrize(("reservation", "claimed"), [(Reservation.PEAK, 11), (Reservation.ACTIVE, 3)])
def test_peak_claims_the_largest_profile_while_a_smaller_one_is_active(reservation: Reservation, claimed: int) -> None:
    net = Network.of(square())
    part = slice_of(net.stand(corridor(rates=(20_000, 100_000), reservation=reservation)))
    assert (slots(20_000), slots(100_000)) == (3, 11)
    assert (part.claimed_slots, part.active_slots, part.container) == (claimed, 3, Container.FGODUFLEX)
    assert [len(numbers(hop.slots)) for hop in part.hops] == [claimed] * len(part.hops)
    for hop in part.hops:
        for way in (0, 1):
            row = net.ledger.row(RowKey(hop.link, hop.server, way))
            assert row.bitmap == sum(1 << (n - 1) for n in numbers(hop.slots))


@pytest.mark.parametrize(
    ("reservation", "kbps"), [(Reservation.PEAK, (90_000, 40_000)), (Reservation.ACTIVE, (20_000, 10_000))]
)
def test_a_soft_corridor_claims_wire_rates_per_direction(reservation: Reservation, kbps: tuple[int, int]) -> None:
    net = Network.of(square())
    profiles = Profile("p0", 20_000, 10_000), Profile("p1", 90_000), Profile("p2", 5_000, 40_000)
    if reservation is Reservation.PEAK:
        profiles = (profiles[0], replace(profiles[1], reverse_bandwidth_kbps=30_000), profiles[2])
    wanted = corridor(a=3, z=2, isolation=Isolation.SOFT, profiles=profiles, reservation=reservation)
    record = net.stand(wanted)
    assert record.target is not None
    assert record.target.leg.links == (link_name("A-32"),)
    rows = [net.ledger.row(RowKey(link_name("A-32"), "", way)).kbps for way in (0, 1)]
    assert rows == [wire(kbps[0]), wire(kbps[1])]
    assert (record.target.forward_kbps, record.target.reverse_kbps) == (wire(20_000), wire(10_000))


def test_soft_claims_follow_each_adjacency_in_its_own_direction() -> None:
    net = Network.of(square())
    record = net.stand(corridor(a=2, z=4, isolation=Isolation.SOFT, rates=(10_000,), reverse=3_000))
    assert record.target is not None
    leg, there, back = record.target.leg, wire(10_000), wire(3_000)
    claims = {(key.link, key.direction): row.kbps for key, row in net.ledger.rows.items() if row.kbps}
    ways = [
        (name, 0 if net.topology.links[name].a_node == node else 1)
        for name, node in zip(leg.links, leg.nodes[:2], strict=True)
    ]
    assert leg.nodes[0] == node_name("r2")
    assert claims == {(name, way ^ turn): rate for name, way in ways for turn, rate in ((0, there), (1, back))}


def test_a_longer_list_is_paid_for() -> None:
    net = Network.of(chain(5, twins=True))
    record = net.stand(corridor(a=1, z=5, isolation=Isolation.SOFT, rates=(10_000,)))
    assert record.target is not None
    assert record.target.leg.forward.overhead_bytes == 64
    assert record.target.claimed_forward_kbps == record.target.forward_kbps == wire(10_000, overhead=64)


def test_each_direction_pays_for_its_own_list() -> None:
    """Twins on all hops but the first: the way back, whose first link is free as well, needs a uA more."""
    links: list[Link] = []
    for here, there in pairwise(range(1, 6)):
        links.append(fibre(f"F-{here}{there}", here, there, 20))
        twins = "A" if here == 1 else "AB"
        links += [adjacency(f"{x}-{here}{there}", here, there, [f"F-{here}{there}"], 70) for x in twins]
    net = Network.of(domain(range(1, 6), links))
    record = net.stand(corridor(a=1, z=5, isolation=Isolation.SOFT, rates=(100_000,)))
    assert record.target is not None
    leg = record.target.leg
    sizes = leg.forward.overhead_bytes, leg.reverse.overhead_bytes
    assert sizes[0] != sizes[1]
    rates = tuple(wire(100_000, overhead=size) for size in sizes)
    assert (record.target.forward_kbps, record.target.reverse_kbps) == rates
    assert (record.target.claimed_forward_kbps, record.target.claimed_reverse_kbps) == rates


def test_latency_is_the_sum_of_its_terms() -> None:
    net = Network.of(square())
    hard = net.stand(corridor(a=1, z=4, rates=(20_000, 100_000)))
    assert hard.target is not None
    terms = {term.name: term.value_us for term in hard.target.leg.latency}
    clocked = ceil(Fraction(1540 * 8 * 1000) / (3 * SLOT_KBPS))
    assert terms == {"fibre": 80, "otn-nodes": 2 * 25, "routers": 2 * 15, "serialisation": clocked}
    soft = net.stand(corridor("s", 2, 4, Isolation.SOFT, tenant="globex"))
    assert soft.target is not None
    terms = {term.name: term.value_us for term in soft.target.leg.latency}
    clocked = 2 * ceil(Fraction(1540 * 8 * 1000, 1_238_954))
    assert terms == {"fibre": 100 + 130, "otn-nodes": 0, "routers": 3 * 15, "serialisation": clocked}
    for record in (hard, soft):
        assert record.target is not None
        assert record.target.leg.latency_us == sum(t.value_us for t in record.target.leg.latency)


@pytest.mark.parametrize("turn", [(0, 1), (1, 0)])
def test_a_switch_under_peak_keeps_path_slice_and_slots(turn: tuple[int, int]) -> None:
    net = Network.of(square())
    standing = net.stand(corridor(active=turn[0]))
    books = net.ledger, net.ids
    changed = net.stand(replace(standing.corridor, active_profile=f"p{turn[1]}"))
    old, new = slice_of(standing), slice_of(changed)
    assert (new.id, new.hops, new.claimed_slots) == (old.id, old.hops, old.claimed_slots)
    assert new.active_slots != old.active_slots
    assert (net.ledger.rows, net.ids) == (books[0].rows, books[1])


@pytest.mark.parametrize("turn", [(0, 1), (1, 0)])
def test_a_switch_under_active_keeps_path_slice_and_the_numbers_it_needs(turn: tuple[int, int]) -> None:
    net = Network.of(square())
    standing = net.stand(corridor(active=turn[0], reservation=Reservation.ACTIVE))
    net.stand(corridor("other", tenant="globex"))
    changed = net.stand(replace(standing.corridor, active_profile=f"p{turn[1]}"))
    old, new = slice_of(standing), slice_of(changed)
    assert new.id == old.id
    assert [(h.link, h.server) for h in new.hops] == [(h.link, h.server) for h in old.hops]
    for before, after in zip(old.hops, new.hops, strict=True):
        few, many = sorted((numbers(before.slots), numbers(after.slots)), key=len)
        assert few < many


def test_a_switch_keeps_the_path_although_a_shorter_one_came_back() -> None:
    net = Network.of(square())
    net.link("F-13", Status.DOWN)
    standing = net.stand(corridor())
    net.link("F-13", Status.UP)
    changed = net.stand(replace(standing.corridor, active_profile="p1"))
    assert slice_of(changed).id == slice_of(standing).id
    assert [h.link for h in slice_of(changed).hops] == [link_name("F-12"), link_name("F-23")]


def test_a_new_bound_that_the_kept_path_breaks_moves_the_corridor() -> None:
    net = Network.of(square())
    net.link("F-13", Status.DOWN)
    standing = net.stand(corridor())
    net.link("F-13", Status.UP)
    nodes_us = 2 * 15 + 2 * 25
    assert nodes_us + 25 + 50 + 60 > 200 > nodes_us + 90, "no number of slots is enough on the way round"
    moved = net.stand(replace(standing.corridor, max_latency_us=200))
    assert [h.link for h in slice_of(moved).hops] == [link_name("F-13")]


def test_a_soft_switch_keeps_the_path_although_a_shorter_one_came_back() -> None:
    net = Network.of(square())
    shortest = net.stand(corridor(isolation=Isolation.SOFT)).corridor.legs[0].links
    net.link(shortest[0].rsplit("/", 1)[-1], Status.DOWN)
    name = corridor(isolation=Isolation.SOFT).name
    standing = net.stand(net.snapshot.records[name].corridor)
    detour = standing.corridor.legs[0].links
    assert detour != shortest
    net.link(shortest[0].rsplit("/", 1)[-1], Status.UP)
    changed = net.stand(replace(standing.corridor, active_profile="p1"))
    assert changed.corridor.legs[0].links == detour


def test_nothing_is_planned_on_a_change_under_way() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    under_way = net.ask(replace(standing.corridor, active_profile="p1"))
    before = net.snapshot
    with pytest.raises(FailedPrecondition):
        plan(net.snapshot, replace(under_way.corridor, active_profile="p0"))
    with pytest.raises(FailedPrecondition):
        removal(net.snapshot, under_way, under_way.corridor)
    assert net.snapshot == before


def test_a_move_has_a_new_slice_and_both_hold_their_slots_until_clean_is_through() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    assert [h.link for h in slice_of(standing).hops] == [link_name("F-13")]
    empty = free_at(net, "F-12", slice_of(standing).hops[0].server)
    net.link("F-13", Status.DOWN)
    moved = net.ask(standing.corridor)
    old, new = slice_of(standing), slice_of(moved)
    assert new.id != old.id
    assert [h.link for h in new.hops] == [link_name("F-12"), link_name("F-23")]
    for stage in (Stage.BUILD, Stage.STEER, Stage.CLEAN):
        assert net.records[moved.name].stage is stage
        for part in (old, new):
            for hop in part.hops:
                row = net.ledger.row(RowKey(hop.link, hop.server, 0))
                assert all(row.bitmap >> (n - 1) & 1 for n in numbers(hop.slots))
        net.step(moved.name)
    assert all(row.bitmap == 0 for key, row in net.ledger.rows.items()
               if key.link == link_name("F-13") and key.server != "line")  # fmt: skip
    assert free_at(net, "F-12", new.hops[0].server) == empty - 11


def test_old_and_new_slots_on_a_shared_fibre_are_different_ones() -> None:
    net = Network.of(chain(3))
    two = net.stand(corridor(a=1, z=2))
    three = net.ask(replace(two.corridor, z_end=end_point(3, "acme")))
    (old,), (new, _) = slice_of(two).hops, slice_of(three).hops
    assert new.link == old.link
    assert not numbers(old.slots) & numbers(new.slots)
    assert slice_of(two).id != slice_of(three).id


def test_soft_claims_count_once_on_links_that_old_and_new_share() -> None:
    """A corridor that fills 60 % of a link can still be changed on it, and holds the larger of both meanwhile."""
    net = Network.of(chain(3))
    standing = net.stand(corridor(a=1, z=3, isolation=Isolation.SOFT, rates=(700_000,), reverse=1_000))
    bigger = replace(standing.corridor, profiles=(Profile("p0", 800_000, 1_000),))
    for wanted, held in ((bigger, 800_000), (standing.corridor, 800_000)):
        net.ask(wanted)
        rates = {row.kbps for key, row in net.ledger.rows.items() if key.link == link_name("A-1-2")}
        assert rates == {wire(held), wire(1_000)}
        net.settle(wanted.name)
    rates = {row.kbps for key, row in net.ledger.rows.items() if key.link == link_name("A-1-2")}
    assert rates == {wire(700_000), wire(1_000)}


def test_a_slice_that_outgrows_its_server_moves_as_a_new_one() -> None:
    """Slot numbers are local to a server: the same slice cannot hold numbers of two of them at one line port."""
    net = Network.of(chain(2, servers=(Container.ODU0, Container.ODU0)))
    standing = net.stand(corridor(a=1, z=2, rates=(500_000,)))
    net.stand(corridor("next", a=1, z=2, rates=(500_000,), tenant="globex"))
    assert slots(500_000) == 53
    grown = net.ask(replace(standing.corridor, profiles=(Profile("p0", 700_000),)))
    assert slice_of(grown).hops[0].server != slice_of(standing).hops[0].server
    assert slice_of(grown).id != slice_of(standing).id
    for entries in net.tables().values():
        held = [(e.line_port, e.server, n) for e in entries if isinstance(e, SlotAssignment) for n in e.slots]
        assert len(held) == len(set(held))


def test_a_slice_stays_in_its_server_although_a_fuller_one_has_room() -> None:
    net = Network.of(chain(2, servers=(Container.ODU0, Container.ODU0)))
    standing = net.stand(corridor(a=1, z=2, rates=(500_000, 100_000), reservation=Reservation.ACTIVE))
    net.stand(corridor("next", a=1, z=2, rates=(1_000_000,), tenant="globex"))
    assert (slots(500_000), slots(100_000), slots(1_000_000)) == (53, 11, 106)
    shrunk = net.stand(replace(standing.corridor, active_profile="p1"))
    assert slice_of(shrunk).hops[0].server == slice_of(standing).hops[0].server
    assert slice_of(shrunk).id == slice_of(standing).id


def test_slots_are_free_both_ways_or_not_at_all() -> None:
    """Today every slice takes the same slots both ways; the ledger can hold others."""
    net = Network.of(chain(2, servers=(Container.ODU0,)))
    back = RowKey(link_name("F-1-2"), "odu0-1", 1)
    net.ledger = net.ledger.change(frozenset(), frozenset({Claim("one way", back, bitmap=0b101)}))
    (hop,) = slice_of(net.stand(corridor(a=1, z=2, rates=(20_000,)))).hops
    assert numbers(hop.slots) == {2, 4, 5}


def test_a_move_is_not_refused_where_only_the_shortest_way_out_lacks_room_for_both() -> None:
    """Old and new slots stand side by side: a fibre of the old path with room for one of them is no way out.

    (Of the same size, the slice would branch off at o2 and keep what it has on F-12.)
    """
    links = [
        fibre("F-12", 1, 2, 10, (Container.ODU0,), 1),
        fibre("F-23", 2, 3, 10, (Container.ODU0,), 1),
        fibre("F-24", 2, 4, 20, (Container.ODU0,), 1),
        fibre("F-43", 4, 3, 20, (Container.ODU0,), 1),
        fibre("F-15", 1, 5, 100, (Container.ODU0,), 1),
        fibre("F-53", 5, 3, 100, (Container.ODU0,), 1),
    ]
    net = Network.of(domain(range(1, 6), links))
    standing = net.stand(corridor(a=1, z=3, rates=(700_000,)))
    assert slots(700_000) > 119 // 2
    net.link("F-23", Status.DOWN)
    moved = net.stand(replace(standing.corridor, profiles=(Profile("p0", 710_000),)))
    assert slots(710_000) != slots(700_000)
    assert [h.link for h in slice_of(moved).hops] == [link_name("F-15"), link_name("F-53")]


def test_isolation_can_change_both_ways() -> None:
    net = Network.of(square())
    blank = taken(net.ledger)
    standing = net.stand(corridor())
    for isolation in (Isolation.SOFT, Isolation.HARD, Isolation.SOFT):
        changed = net.stand(replace(standing.corridor, isolation=isolation))
        assert changed.target is not None
        assert bool(changed.target.slice) is (isolation is Isolation.HARD)
    net.take_away(standing.name)
    assert taken(net.ledger) == blank


def test_a_list_with_more_overhead_finds_the_path_that_has_room_for_it() -> None:
    """1.16 Gbit/s fit an ODU0 with one carrier, not with two; four hops with twins need two; the way round has room."""
    links: list[Link] = []
    for row, delay_us, container in (((1, 2, 3, 4, 5), 10, Container.ODU0), ((1, 6, 7, 8, 5), 20, Container.ODU1)):
        for a, z in pairwise(row):
            links.append(fibre(f"F-{a}{z}", a, z, delay_us))
            links += [adjacency(f"{x}-{a}{z}", a, z, [f"F-{a}{z}"], delay_us, container) for x in "AB"]
    net = Network.of(domain(range(1, 9), links))
    assert wire(1_160_000, overhead=40) < 1_238_954 < wire(1_160_000, overhead=64)
    record = net.stand(corridor(a=1, z=5, isolation=Isolation.SOFT, rates=(1_160_000,)))
    assert record.target is not None
    assert record.target.leg.nodes[1] == node_name("r6")
    assert record.target.claimed_forward_kbps == wire(1_160_000, overhead=64)
