"""Planning: what is claimed, what a change keeps, what is refused and why, and that nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import (
    Network,
    adjacency,
    chain,
    corridor,
    corridors_on,
    domain,
    domains,
    end_point,
    fibre,
    link_name,
    node_name,
    square,
)

from controller.core.entries import SlotAssignment
from controller.core.errors import Infeasible, Invalid, Refused
from controller.core.model import (
    Container,
    Corridor,
    EndPoint,
    Isolation,
    Link,
    LinkKind,
    Profile,
    Reservation,
    Slice,
    Stage,
    Status,
)
from controller.core.otn import Claim, Ledger, RowKey
from controller.core.plan import advance, plan
from controller.core.records import Placement, Record
from controller.core.topology import LinkChanged, LinkUnplanned, NodeChanged

SLOT_KBPS = Fraction("10009.306")


def wire(kbps: int, overhead: int = 40, packet: int = 1400) -> int:
    """Wire rate of customer bits, by hand: encapsulation, Ethernet header and FCS, preamble and gap."""
    return ceil(Fraction(kbps) * (packet + overhead + 38) / packet)


def slots(kbps: int) -> int:
    return ceil(wire(kbps) / SLOT_KBPS)


def numbers(text: str) -> set[int]:
    """The slot numbers of a ts-list."""
    found: set[int] = set()
    for part in text.split(","):
        low, *high = map(int, part.split("-"))
        found |= set(range(low, (high or [low])[0] + 1))
    return found


def slice_of(record: Record) -> Slice:
    assert record.target is not None
    assert record.target.slice is not None
    return record.target.slice


def taken(ledger: Ledger) -> dict[RowKey, tuple[int, int]]:
    """Slots and rates without versions."""
    return {key: (row.bitmap, row.kbps) for key, row in ledger.rows.items()}


def free_at(net: Network, link: str, server: str) -> int:
    row = net.ledger.row(RowKey(link_name(link), server, 0))
    return row.capacity - row.bitmap.bit_count()


# ---- what is claimed -------------------------------------------------------------------------------------------------


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
    assert record.target.leg.nodes == (node_name("r2"), node_name("r1"), node_name("r4"))
    claims = {key.link + str(key.direction): row.kbps for key, row in net.ledger.rows.items() if row.kbps}
    there, back = wire(10_000), wire(3_000)
    a12, a14 = link_name("A-12"), link_name("A-14")
    assert claims == {f"{a12}1": there, f"{a12}0": back, f"{a14}0": there, f"{a14}1": back}


def test_a_longer_list_is_paid_for() -> None:
    net = Network.of(chain(5))
    record = net.stand(corridor(a=1, z=5, isolation=Isolation.SOFT, rates=(10_000,)))
    assert record.target is not None
    assert record.target.leg.forward.overhead_bytes == 64
    assert record.target.claimed_forward_kbps == record.target.forward_kbps == wire(10_000, overhead=64)


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


# ---- what a change keeps ---------------------------------------------------------------------------------------------


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
    assert standing.target is not None
    net.link("F-13", Status.UP)
    moved = net.stand(replace(standing.corridor, max_latency_us=standing.target.leg.latency_us - 1))
    assert [h.link for h in slice_of(moved).hops] == [link_name("F-13")]


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
    """Old and new slots stand side by side: a fibre of the old path with room for one of them is no way out."""
    links = [
        fibre("F-12", 1, 2, 10, (Container.ODU0,)),
        fibre("F-23", 2, 3, 10, (Container.ODU0,)),
        fibre("F-24", 2, 4, 20, (Container.ODU0,)),
        fibre("F-43", 4, 3, 20, (Container.ODU0,)),
        fibre("F-15", 1, 5, 100, (Container.ODU0,)),
        fibre("F-53", 5, 3, 100, (Container.ODU0,)),
    ]
    net = Network.of(domain(range(1, 6), links))
    standing = net.stand(corridor(a=1, z=3, rates=(700_000,)))
    assert slots(700_000) > 119 // 2
    net.link("F-23", Status.DOWN)
    moved = net.stand(standing.corridor)
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
    """1.16 Gbit/s fit an ODU0 with one carrier, not with two; four hops need two, the wider way round has room."""
    links: list[Link] = []
    for row, delay_us, container in (((1, 2, 3, 4, 5), 10, Container.ODU0), ((1, 6, 7, 8, 5), 20, Container.ODU1)):
        for a, z in pairwise(row):
            links.append(fibre(f"F-{a}{z}", a, z, delay_us))
            links.append(adjacency(f"A-{a}{z}", a, z, [f"F-{a}{z}"], delay_us, container))
    net = Network.of(domain(range(1, 9), links))
    assert wire(1_160_000, overhead=40) < 1_238_954 < wire(1_160_000, overhead=64)
    record = net.stand(corridor(a=1, z=5, isolation=Isolation.SOFT, rates=(1_160_000,)))
    assert record.target is not None
    assert record.target.leg.nodes[1] == node_name("r6")
    assert record.target.claimed_forward_kbps == wire(1_160_000, overhead=64)


# ---- what is refused -------------------------------------------------------------------------------------------------


def refused(net: Network, wanted: Corridor) -> Infeasible:
    """The refusal of a wish; everything stays as it was."""
    before = net.topology, net.ledger, net.ids, dict(net.records)
    rows, assigned = dict(net.ledger.rows), dict(net.ids.assigned)
    with pytest.raises(Infeasible) as refusal:
        net.ask(wanted)
    assert (net.topology, net.ledger, net.ids, net.records) == before
    assert (dict(net.ledger.rows), dict(net.ids.assigned)) == (rows, assigned)
    return refusal.value


@pytest.mark.parametrize("isolation", Isolation)
def test_a_latency_bound_is_met_or_refused_with_figures(isolation: Isolation) -> None:
    net = Network.of(square())
    record = net.stand(corridor("free", isolation=isolation, tenant="globex"))
    assert record.target is not None
    least = record.target.leg.latency_us
    net.stand(corridor("met", isolation=isolation, max_latency_us=least))
    net.take_away("tenants/acme/corridors/met")
    refusal = refused(net, corridor("unmet", isolation=isolation, max_latency_us=least - 1))
    assert refusal.reason == "LATENCY_BOUND"
    assert refusal.metadata == {"latencyUs": str(least), "boundUs": str(least - 1)}
    assert str(least) in str(refusal)
    assert str(least - 1) in str(refusal)


def test_a_thin_slice_is_refused_when_clocking_packets_breaks_the_bound() -> None:
    """1540 bytes take 1231 µs in one slot, 62 µs in twenty: the same path, another answer."""
    net = Network.of(square())
    thin, thick = (corridor(a=1, z=2, rates=(kbps,), max_latency_us=1000) for kbps in (5_000, 180_000))
    assert (slots(5_000), slots(180_000)) == (1, 19)
    assert refused(net, thin).reason == "LATENCY_BOUND"
    assert net.stand(thick).target is not None


def test_the_thinnest_profile_decides_whatever_is_active() -> None:
    net = Network.of(square())
    wanted = corridor(a=1, z=2, rates=(5_000, 180_000), active=1, max_latency_us=1000)
    assert refused(net, wanted).reason == "LATENCY_BOUND"


@pytest.mark.parametrize("isolation", Isolation)
def test_when_all_is_full_the_refusal_names_the_links(isolation: Isolation) -> None:
    net = Network.of(chain(3, servers=(Container.ODU0,)))
    net.stand(corridor("first", a=1, z=2, isolation=isolation, rates=(700_000,), tenant="globex"))
    refusal = refused(net, corridor(a=1, z=3, isolation=isolation, rates=(700_000,)))
    assert refusal.reason == "NO_CAPACITY"
    kind = "F" if isolation is Isolation.HARD else "A"
    assert refusal.metadata["links"] == link_name(f"{kind}-1-2")
    assert net.stand(corridor("small", a=1, z=3, isolation=isolation, rates=(400_000,)))


def test_one_direction_full_is_full() -> None:
    net = Network.of(chain(2))
    net.stand(corridor("up", 1, 2, Isolation.SOFT, (1_000_000,), "globex", reverse=1_000))
    assert refused(net, corridor("down", 1, 2, Isolation.SOFT, (500_000,), reverse=1)).reason == "NO_CAPACITY"
    assert net.stand(corridor("ok", 1, 2, Isolation.SOFT, (1_000,), reverse=900_000))


def test_an_active_corridor_may_be_refused_its_switch_a_peak_one_is_not() -> None:
    for reservation in Reservation:
        net = Network.of(chain(2, servers=(Container.ODU0,)))
        standing = net.stand(corridor(a=1, z=2, rates=(20_000, 700_000), reservation=reservation))
        rival = corridor("rival", 1, 2, rates=(500_000,), tenant="globex")
        net.stand(rival) if reservation is Reservation.ACTIVE else refused(net, rival)
        switch = replace(standing.corridor, active_profile="p1")
        if reservation is Reservation.PEAK:
            assert slice_of(net.stand(switch)).active_slots == slots(700_000)
        else:
            refusal = refused(net, switch)
            assert refusal.reason == "NO_CAPACITY"
            assert refusal.metadata["links"] == link_name("F-1-2")


def test_larger_than_one_container_is_refused() -> None:
    refusal = refused(Network.of(square()), corridor(rates=(1_200_000,)))
    assert refusal.reason == "CONTAINER_TOO_SMALL"


def test_without_any_path_the_refusal_says_so() -> None:
    net = Network.of(chain(3))
    net.link("F-2-3", Status.DOWN)
    for isolation in Isolation:
        assert refused(net, corridor(isolation=isolation)).reason == "NO_PATH"
    assert net.stand(corridor(a=1, z=2))


@pytest.mark.parametrize("status", [Status.DOWN, Status.UNREACHABLE, Status.MISSING])
@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("node", ["r1", "r3", "o1", "o3"])
def test_nothing_new_is_placed_on_ends_that_do_not_answer(status: Status, isolation: Isolation, node: str) -> None:
    net = Network.of(square())
    net.topology = net.topology.apply(NodeChanged(node_name(node), status))
    if isolation is Isolation.SOFT and node.startswith("o"):
        for link in net.topology.of_kind(LinkKind.ADJACENCY):
            if node_name(node.replace("o", "r")) in (link.a_node, link.z_node):
                net.topology = net.topology.apply(LinkChanged(link.name, Status.DOWN))
    assert refused(net, corridor(isolation=isolation)).reason == "NO_PATH"


@pytest.mark.parametrize("up", [True, False])
def test_a_hard_corridor_needs_its_client_links(up: bool) -> None:
    net = Network.of(square())
    net.topology = net.topology.apply(LinkChanged(link_name("C-r3"), Status.UP if up else Status.DOWN))
    if up:
        net.stand(corridor())
    else:
        assert refused(net, corridor()).reason == "NO_PATH"


def test_a_router_plugged_in_elsewhere_does_not_change_where_it_belongs() -> None:
    net = Network.of(square())
    planned = net.topology.links[link_name("C-r1")]
    stray = replace(planned, name=link_name("stray"), z_node=node_name("o2"), z_port=9)
    net.topology = net.topology.apply(LinkUnplanned(stray))
    record = net.stand(corridor())
    assert [h.link for h in slice_of(record).hops] == [link_name("F-13")]


def test_links_that_cannot_carry_its_packets_are_refused_with_figures() -> None:
    net = Network.of(square())
    small = {n: replace(link, mtu_bytes=2000) for n, link in net.topology.links.items()}
    net.topology = replace(net.topology, links=small)
    assert net.stand(corridor("fits", mtu_bytes=1960, tenant="globex"))
    refusal = refused(net, corridor(mtu_bytes=1961))
    assert refusal.reason == "MTU"
    assert refusal.metadata["neededBytes"] == "2001"


def test_two_corridors_of_a_tenant_may_not_ask_for_the_same_traffic() -> None:
    net = Network.of(square())
    net.stand(corridor())
    other = corridor("c2", isolation=Isolation.SOFT)
    for wanted in (other, replace(other, a_end=other.z_end, z_end=other.a_end)):
        with pytest.raises(Invalid, match="already carries") as refusal:
            net.ask(wanted)
        assert refusal.value.reason == "SAME_TRAFFIC"
    assert net.stand(replace(other, name="tenants/globex/corridors/c2", a_end=end_point(1, "globex"),
                             z_end=end_point(3, "globex")))  # fmt: skip


def test_the_same_traffic_is_known_in_any_spelling() -> None:
    net = Network.of(square())
    ends = [EndPoint(node_name(f"r{site}"), "acme", (), (f"2001:db8:9:{site}::/64",)) for site in (1, 3)]
    net.stand(replace(corridor(), a_end=ends[0], z_end=ends[1]))
    spelled = replace(ends[0], ipv6_prefixes=("2001:0DB8:0009:0001:0::/64",))
    with pytest.raises(Invalid, match="already carries"):
        net.ask(replace(corridor("c2"), a_end=spelled, z_end=ends[1]))


def test_traffic_is_given_up_only_when_the_change_is_through() -> None:
    """While c1 moves to other prefixes its old ones still steer, and a roll-back would bring them back."""
    net = Network.of(square())
    standing = net.stand(corridor())
    elsewhere = EndPoint(node_name("r3"), "acme", ("10.77.3.0/24",), ("2001:db8:77:3::/64",))
    net.ask(replace(standing.corridor, z_end=elsewhere))
    second = corridor("c2", isolation=Isolation.SOFT)
    for stage in (Stage.BUILD, Stage.STEER, Stage.CLEAN):
        assert net.records[standing.name].stage is stage
        for wanted in (second, replace(second, z_end=elsewhere)):
            with pytest.raises(Invalid, match="already carries"):
                net.ask(wanted)
        net.step(standing.name)
    assert net.stand(second)


def test_a_prefix_is_behind_one_port_of_a_router() -> None:
    net = Network.of(square())
    net.stand(corridor())
    wanted = replace(corridor("c2", a=2, z=3), z_end=end_point(3, "acme", "acme-b"))
    with pytest.raises(Invalid, match=r"z_end\.port") as refusal:
        net.ask(wanted)
    assert refusal.value.reason == "PREFIX_BEHIND_OTHER_PORT"
    assert net.stand(corridor("c2", a=2, z=3))


def test_a_port_that_no_tenant_owns_is_the_first_ones_who_uses_it() -> None:
    planned = square()
    nodes = {
        name: replace(node, access_ports=tuple(replace(port, tenant="") for port in node.access_ports))
        for name, node in planned.nodes.items()
    }
    net = Network.of(replace(planned, nodes=nodes))
    net.stand(corridor())
    rival = corridor("c1", tenant="globex")
    with pytest.raises(Invalid, match=r"a_end\.port") as refusal:
        net.ask(replace(rival, a_end=end_point(1, "acme")))
    assert refusal.value.reason == "PORT_IN_USE"
    assert "tenants/acme" not in str(refusal.value)
    assert net.stand(rival)


def test_a_changed_corridor_does_not_stand_in_its_own_way() -> None:
    net = Network.of(square())
    record = net.stand(corridor())
    assert net.stand(replace(record.corridor, display_name="other")).target == record.target


# ---- nothing leaks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", Isolation)
def test_removal_restores_ledger_and_ids_once_settled(isolation: Isolation) -> None:
    net = Network.of(square())
    net.stand(corridor("shared", isolation=Isolation.SOFT, a=1, z=3, tenant="globex"))
    net.stand(corridor("first", isolation=isolation))
    net.take_away("tenants/acme/corridors/first")
    books, ids = taken(net.ledger), dict(net.ids.assigned)
    net.wait(61)
    record = net.stand(corridor(isolation=isolation))
    assert taken(net.ledger) != books
    net.remove(record.name)
    for _ in (Stage.BUILD, Stage.STEER, Stage.CLEAN):
        assert taken(net.ledger) != books, "held until every device has let go"
        net.step(record.name)
    assert record.name not in net.records
    assert (taken(net.ledger), dict(net.ids.assigned)) == (books, ids)


def test_freed_ids_rest_and_come_back() -> None:
    net = Network.of(square())
    first = slice_of(net.stand(corridor())).id
    net.take_away("tenants/acme/corridors/c1")
    assert slice_of(net.stand(corridor())).id != first
    net.take_away("tenants/acme/corridors/c1")
    net.wait(60)
    assert slice_of(net.stand(corridor())).id == first


def test_a_roll_back_gives_back_what_only_the_new_state_held() -> None:
    net = Network.of(square())
    standing = net.stand(corridor())
    books, assigned = taken(net.ledger), dict(net.ids.assigned)
    net.link("F-13", Status.DOWN)
    moving = net.ask(standing.corridor)
    assert taken(net.ledger) != books
    back = Record(standing.corridor, standing.target, standing.target, Stage.SETTLED)
    net.commit(advance(net.snapshot, moving, back))
    assert (taken(net.ledger), dict(net.ids.assigned)) == (books, assigned)


def test_ids_never_change_under_a_standing_corridor() -> None:
    net = Network.of(square())
    net.stand(corridor())
    before = dict(net.ids.assigned)
    net.stand(corridor("c2", 2, 4, Isolation.SOFT))
    net.stand(corridor("c3", 2, 4, tenant="globex"))
    net.take_away("tenants/acme/corridors/c2")
    assert before.items() <= dict(net.ids.assigned).items()


def test_a_plan_is_a_function_of_what_it_sees() -> None:
    net = Network.of(square())
    wanted = corridor()
    first, second = plan(net.snapshot, wanted), plan(net.snapshot, wanted)
    assert first == second
    assert net.snapshot.records == {}


def expected_books(net: Network) -> dict[RowKey, tuple[int, int]]:
    """The ledger that trails and records add up to, written from the ledger's definition."""
    books = dict.fromkeys(net.ledger.rows, (0, 0))

    def put(key: RowKey, bits: int, kbps: int) -> None:
        books[key] = books[key][0] | bits, books[key][1] + kbps

    for link in net.topology.of_kind(LinkKind.FIBRE):
        lines = sum(server.tributary_slots for server in link.servers)
        sizes = {Container.ODU0: 1, Container.ODU1: 2, Container.ODU2: 8}
        lines += sum(sizes[t.container] for t in net.topology.of_kind(LinkKind.ADJACENCY) if link.name in t.trail)
        for way in (0, 1):
            put(RowKey(link.name, "line", way), (1 << lines) - 1, 0)
    for record in net.records.values():
        soft: dict[RowKey, int] = {}
        both = (record.target,) if record.stage is Stage.SETTLED else (record.current, record.target)
        for placement in (p for p in both if p):
            for hop in (hop for part in placement.leg.slices for hop in part.hops):
                for way in (0, 1):
                    put(RowKey(hop.link, hop.server, way), sum(1 << (n - 1) for n in numbers(hop.slots)), 0)
            for key, kbps in soft_rates(net, placement):
                soft[key] = max(soft.get(key, 0), kbps)
        for key, kbps in soft.items():
            put(key, 0, kbps)
    return books


def soft_rates(net: Network, placement: Placement) -> Iterator[tuple[RowKey, int]]:
    """What a placement holds of each adjacency, by the direction in which it passes it."""
    here = placement.a_end.node
    for name in placement.leg.links if not placement.leg.slices else ():
        link = net.topology.links[name]
        way = int(link.a_node != here)
        here = link.z_node if link.a_node == here else link.a_node
        yield RowKey(name, "", way), placement.claimed_forward_kbps
        yield RowKey(name, "", 1 - way), placement.claimed_reverse_kbps


def nobody_shares(net: Network) -> None:
    """No slot has two owners, except old and new of one corridor's own slice; no adjacency is overbooked."""
    owners: dict[tuple[str, str, int], tuple[str, int]] = {}
    for record in net.records.values():
        for placement in record.placements:
            for part in placement.leg.slices:
                for hop in part.hops:
                    for n in numbers(hop.slots):
                        owner = record.name, part.id
                        assert owners.setdefault((hop.link, hop.server, n), owner) == owner
    for row in net.ledger.rows.values():
        assert row.kbps <= row.capacity
        assert row.bitmap >> row.capacity == 0 or row.kbps


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_history_of_wishes_stages_cuts_and_removals(data: st.DataObject) -> None:
    net = Network.of(data.draw(domains()))
    for number in range(data.draw(st.integers(1, 14))):
        busy = sorted(n for n, r in net.records.items() if r.stage is not Stage.SETTLED)
        calm = sorted(n for n, r in net.records.items() if r.stage is Stage.SETTLED)
        kinds = ["new", "new", "flip", *["step", "step"] * bool(busy), *["change", "remove"] * bool(calm)]
        kind = data.draw(st.sampled_from(kinds))
        before, rows = net.snapshot, taken(net.ledger)
        try:
            if kind == "new":
                net.ask(data.draw(corridors_on(net.topology, f"c{number}")))
            elif kind == "step":
                net.step(data.draw(st.sampled_from(busy)))
            elif kind == "remove":
                net.remove(data.draw(st.sampled_from(calm)))
            elif kind == "change":
                name = data.draw(st.sampled_from(calm))
                wish = data.draw(corridors_on(net.topology, "x"))
                fields = ("profiles", "active_profile", "isolation", "reservation")
                net.ask(replace(net.records[name].corridor, **{f: getattr(wish, f) for f in fields}))
            else:
                some = data.draw(st.sampled_from([link.name for link in net.topology.of_kind(LinkKind.FIBRE)]))
                net.link(some.rsplit("/", 1)[1], data.draw(st.sampled_from([Status.UP, Status.DOWN])))
            event(kind)
        except Refused as refusal:
            event(f"{kind} refused: {refusal.reason}")
            assert net.snapshot == before
            assert taken(net.ledger) == rows
        assert taken(net.ledger) == expected_books(net)
        nobody_shares(net)
        net.wait(data.draw(st.sampled_from([0, 30, 61])))
    for name in sorted(net.records):
        net.settle(name)
        if name in net.records:
            net.take_away(name)
    fresh = Network.of(net.topology)
    assert taken(net.ledger) == taken(fresh.ledger)
    left = net.ids.assigned.keys() - fresh.ids.assigned.keys()
    assert not [key for key in left if key.kind in ("slice", "policy", "corridor") or key.owner.startswith("slice:")]


def test_parallel_adjacencies_are_told_apart() -> None:
    links = [
        fibre("F-1", 1, 2, 10),
        fibre("F-2", 1, 2, 30),
        adjacency("A-1", 1, 2, ["F-1"], 50),
        adjacency("A-2", 2, 1, ["F-2"], 70),
    ]
    net = Network.of(domain((1, 2), links))
    for number, road in enumerate(("A-1", "A-2")):
        record = net.stand(corridor(f"c{number}", 1, 2, Isolation.SOFT, (700_000,), ("acme", "globex")[number]))
        assert record.target is not None
        assert record.target.leg.links == (link_name(road),)
