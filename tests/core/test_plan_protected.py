"""A protected corridor has two slices that no single failure takes together, and keeps what serves of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import ceil

import networkx as nx
import pytest
from bookkeeping import SLOT_KBPS, numbers, slice_of, slots, taken
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from networks import Network, chain, corridor, domain, domains, fibre, link_name, square

from controller.core.alternatives import plan_or_explain
from controller.core.errors import Infeasible, Refused
from controller.core.model import (
    Container,
    Corridor,
    LinkKind,
    PathConstraints,
    Profile,
    Protection,
    Reservation,
    Slice,
    SliceRole,
    Status,
)
from controller.core.otn import RowKey
from controller.core.plan import plan
from controller.core.records import Record
from controller.core.topology import Topology

PROTECT = {"protection": Protection.PROTECT}
NODES_US = 2 * (15 + 25)
"""Both routers and their OTN nodes, which are on every route."""


def pair_of(record: Record) -> tuple[Slice, Slice]:
    assert record.target is not None
    working, protection = record.target.leg.slices
    return working, protection


def fibres(part: Slice) -> list[str]:
    return [hop.link for hop in part.hops]


def routes(topology: Topology, a: str, z: str) -> list[list[str]]:
    """Every simple route of usable fibres, by its links."""
    graph = nx.MultiGraph()
    graph.add_nodes_from((a, z))
    for link in topology.of_kind(LinkKind.FIBRE):
        if topology.usable(link):
            graph.add_edge(link.a_node, link.z_node, key=link.name)
    return [[edge[2] for edge in path] for path in nx.all_simple_edge_paths(graph, a, z)]


def between(topology: Topology, route: list[str], a: str, z: str) -> set[str]:
    return {node for name in route for node in ends(topology, name)} - {a, z}


def ends(topology: Topology, name: str) -> set[str]:
    return {topology.links[name].a_node, topology.links[name].z_node}


def risks(topology: Topology, route: list[str]) -> set[str | int]:
    return {risk for name in route for risk in (name, *topology.links[name].srlgs)}


def delay_us(topology: Topology, route: list[str], a: str, z: str) -> int:
    inner = sum(topology.nodes[node].processing_us for node in between(topology, route, a, z))
    return NODES_US + inner + sum(topology.links[name].delay_us for name in route)


def pairs(topology: Topology, wanted: Corridor) -> Iterator[tuple[list[str], list[str]]]:
    """Every pair of routes without a common risk."""
    a, z = (topology.otn_of(end.node) for end in (wanted.a_end, wanted.z_end))
    for one, other in combinations(routes(topology, a, z), 2):
        if risks(topology, one).isdisjoint(risks(topology, other)):
            yield one, other


@st.composite
def risky(draw: st.DrawFn) -> Topology:
    """A domain with fibres in common ducts."""
    topology = draw(domains())
    groups = st.lists(st.integers(1, 3), max_size=1).map(tuple)
    links = {
        name: replace(link, srlgs=draw(groups)) if link.kind is LinkKind.FIBRE else link
        for name, link in topology.links.items()
    }
    return replace(topology, links=links)


@settings(max_examples=90, deadline=None)
@given(st.data())
def test_there_are_two_slices_exactly_where_there_are_two_routes_without_a_common_risk(data: st.DataObject) -> None:
    net = Network.of(data.draw(risky()))
    sites = len(net.topology.routers)
    a, z = data.draw(st.permutations(range(1, sites + 1)))[:2]
    bound = data.draw(st.sampled_from([0, 0, 400, 700, 1500]))
    kbps = data.draw(st.sampled_from([5_000, 500_000]))
    wanted = corridor("p", a, z, rates=(kbps,), max_latency_us=bound, **PROTECT)
    o_a, o_z = (net.topology.otn_of(end.node) for end in (wanted.a_end, wanted.z_end))
    late = [max(delay_us(net.topology, way, o_a, o_z) for way in pair) for pair in pairs(net.topology, wanted)]
    fastest = ceil(1540 * 8 * 1000 / (119 * SLOT_KBPS))
    try:
        record = net.stand(wanted)
    except Infeasible as refusal:
        event(refusal.reason)
        assert not any(not bound or us + fastest <= bound for us in late)
        return
    event("protected")
    ways = [fibres(part) for part in pair_of(record)]
    assert risks(net.topology, ways[0]).isdisjoint(risks(net.topology, ways[1]))
    alike = {(part.container, part.claimed_slots, part.active_slots) for part in pair_of(record)}
    assert len(alike) == 1
    assert record.target is not None
    leg = record.target.leg
    assert leg.links == tuple(ways[0])
    clocked = ceil(1540 * 8 * 1000 / (pair_of(record)[0].active_slots * SLOT_KBPS))
    if pair_of(record)[0].container is Container.FGODUFLEX:
        assert leg.latency_us == clocked + max(delay_us(net.topology, way, o_a, o_z) for way in ways)
    assert not bound or leg.latency_us <= bound
    inner = [between(net.topology, way, o_a, o_z) for way in ways]
    if not bound and not inner[0].isdisjoint(inner[1]):
        apart = [[between(net.topology, way, o_a, o_z) for way in pair] for pair in pairs(net.topology, wanted)]
        assert not any(one.isdisjoint(other) for one, other in apart), "no node in common where that can be had"


def test_both_slices_hold_their_slots_and_only_the_working_one_is_known_to_routers() -> None:
    net = Network.of(square())
    record = net.stand(corridor(a=1, z=3, **PROTECT))
    working, protection = pair_of(record)
    assert (working.role, protection.role) == (SliceRole.WORKING, SliceRole.PROTECTION)
    assert fibres(working) == [link_name("F-13")]
    assert working.id != protection.id
    for part in (working, protection):
        assert part.claimed_slots == slots(100_000)
        for hop in part.hops:
            row = net.ledger.row(RowKey(hop.link, hop.server, 0))
            assert all(row.bitmap >> (n - 1) & 1 for n in numbers(hop.slots))
    known = {key.owner for key in net.ids.assigned if key.kind == "next-hop"}
    assert f"slice:{working.id}" in known
    assert f"slice:{protection.id}" not in known


@pytest.mark.parametrize("reservation", Reservation)
def test_a_switch_resizes_both_where_they_are(reservation: Reservation) -> None:
    net = Network.of(square())
    standing = net.stand(corridor(reservation=reservation, **PROTECT))
    changed = net.stand(replace(standing.corridor, active_profile="p1"))
    for old, new in zip(pair_of(standing), pair_of(changed), strict=True):
        assert (new.id, fibres(new)) == (old.id, fibres(old))
        assert (old.active_slots, new.active_slots) == (slots(20_000), slots(100_000))
        for before, after in zip(old.hops, new.hops, strict=True):
            assert numbers(before.slots) <= numbers(after.slots)


def test_protection_comes_and_goes_beside_the_same_working_slice() -> None:
    net = Network.of(square())
    bare = net.stand(corridor())
    books = taken(net.ledger)
    protected = net.stand(replace(bare.corridor, **PROTECT))
    assert pair_of(protected)[0] == slice_of(bare)
    again = net.stand(replace(protected.corridor, protection=Protection.RESTORE))
    assert again.target is not None
    assert again.target.leg.slices == (slice_of(bare),)
    assert taken(net.ledger) == books


def test_a_working_route_that_nothing_can_protect_is_left_for_a_pair() -> None:
    """The trap: the shortest route uses the only way out of each side, and a pair has to cross."""
    links = [
        fibre("F-12", 1, 2, 10),
        fibre("F-23", 2, 3, 10),
        fibre("F-34", 3, 4, 10),
        fibre("F-13", 1, 3, 100),
        fibre("F-24", 2, 4, 100),
    ]
    net = Network.of(domain(range(1, 5), links))
    bare = net.stand(corridor(a=1, z=4))
    assert fibres(slice_of(bare)) == [link_name(name) for name in ("F-12", "F-23", "F-34")]
    protected = net.stand(replace(bare.corridor, **PROTECT))
    ways = {tuple(fibres(part)) for part in pair_of(protected)}
    assert ways == {(link_name("F-12"), link_name("F-24")), (link_name("F-13"), link_name("F-34"))}
    assert slice_of(bare).id not in {part.id for part in pair_of(protected)}


def ducts() -> Network:
    """Three fibres between two sites, the two nearer ones in one duct."""
    near, middle, far = (fibre(f"F-{name}", 1, 2, us) for name, us in (("near", 10), ("middle", 20), ("far", 500)))
    return Network.of(domain((1, 2), [replace(near, srlgs=(7,)), replace(middle, srlgs=(7,)), far]))


def test_what_protects_a_standing_slice_is_in_no_duct_of_it() -> None:
    net = ducts()
    bare = net.stand(corridor(a=1, z=2))
    assert fibres(slice_of(bare)) == [link_name("F-near")]
    protected = net.stand(replace(bare.corridor, **PROTECT))
    assert [fibres(part) for part in pair_of(protected)] == [[link_name("F-near")], [link_name("F-far")]]


def test_a_pair_that_came_to_share_a_duct_is_parted() -> None:
    """The topology file of a new start says that the far fibre is in a duct with the near one."""
    net = ducts()
    standing = net.stand(corridor(a=1, z=2, **PROTECT))
    now = {"F-near": (7,), "F-middle": (), "F-far": (7,)}
    moved = {link_name(name): replace(net.topology.links[link_name(name)], srlgs=on) for name, on in now.items()}
    net.topology = replace(net.topology, links={**net.topology.links, **moved})
    renewed = net.stand(standing.corridor)
    assert [fibres(part) for part in pair_of(renewed)] == [[link_name("F-near")], [link_name("F-middle")]]
    assert pair_of(renewed)[0] == pair_of(standing)[0]


def test_a_lost_protection_is_planned_anew_beside_an_untouched_working_slice() -> None:
    net = Network.of(square())
    standing = net.stand(corridor(a=1, z=3, **PROTECT))
    assert fibres(pair_of(standing)[1]) == [link_name("F-12"), link_name("F-23")]
    net.link("F-23", Status.DOWN)
    renewed = net.stand(standing.corridor)
    assert pair_of(renewed)[0] == pair_of(standing)[0]
    assert fibres(pair_of(renewed)[1]) == [link_name("F-41"), link_name("F-34")]
    assert pair_of(renewed)[1].id != pair_of(standing)[1].id


def test_a_lost_working_route_is_replaced_with_its_protection() -> None:
    """No two groups of a line card share a slice."""
    net = Network.of(square())
    standing = net.stand(corridor(a=1, z=3, **PROTECT))
    net.link("F-13", Status.DOWN)
    renewed = net.stand(replace(standing.corridor, active_profile="p1"))
    old, new = ({part.id for part in pair_of(record)} for record in (standing, renewed))
    assert old.isdisjoint(new)
    ways = {tuple(fibres(part)) for part in pair_of(renewed)}
    assert ways == {(link_name("F-12"), link_name("F-23")), (link_name("F-41"), link_name("F-34"))}


def test_a_broken_promise_keeps_nobody_from_a_switch() -> None:
    """One route is down and there is no third: the corridor goes on with one slice, and has two when there are."""
    net = Network.of(square())
    net.link("F-41", Status.DOWN)
    standing = net.stand(corridor(a=1, z=3, **PROTECT))
    with_one = "F-13", "F-23"
    for cut, left in ((with_one[0], ["F-12", "F-23"]), (with_one[1], ["F-13"])):
        net.link(cut, Status.DOWN)
        grown = net.stand(replace(net.records[standing.name].corridor, active_profile="p1"))
        assert grown.target is not None
        assert [fibres(part) for part in grown.target.leg.slices] == [[link_name(name) for name in left]]
        net.link(cut, Status.UP)
        whole = net.stand(replace(grown.corridor, active_profile="p0"))
        assert len(pair_of(whole)) == 2
        assert pair_of(whole)[0].id == slice_of(grown).id


def test_without_a_failure_a_growth_that_only_one_route_has_room_for_is_refused() -> None:
    """The working slice could grow where it is; that alone is not what was promised."""
    links = [fibre(f"F-{name}", 1, 2, us, (Container.ODU0,)) for name, us in (("near", 10), ("far", 500))]
    net = Network.of(domain((1, 2), [replace(link, line_slots=1) for link in links]))
    standing = net.stand(corridor(a=1, z=2, rates=(100_000,), **PROTECT))
    far = PathConstraints(exclude_links=(link_name("F-near"),))
    net.stand(corridor("other", a=1, z=2, rates=(600_000,), tenant="globex", path_constraints=far))
    before = taken(net.ledger)
    with pytest.raises(Infeasible) as refusal:
        net.ask(replace(standing.corridor, profiles=(Profile("p0", 900_000),)))
    assert refusal.value.reason == "NO_CAPACITY"
    assert refusal.value.metadata["links"] == link_name("F-far")
    assert taken(net.ledger) == before


def test_a_refusal_names_what_any_two_routes_share_and_offers_restoration() -> None:
    net = Network.of(chain(3))
    wanted = corridor(a=1, z=3, **PROTECT)
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(net.snapshot, wanted)
    told = refusal.value.metadata
    assert refusal.value.reason == "NO_DISJOINT_PAIR"
    assert set(told["links"].split(",")) == {link_name("F-1-2"), link_name("F-2-3")}
    assert told["protection"] == "RESTORE"
    assert net.stand(replace(wanted, protection=Protection.RESTORE))


def test_a_common_duct_is_named() -> None:
    links = [replace(fibre("F-a", 1, 2, 10), srlgs=(7,)), replace(fibre("F-b", 1, 2, 20), srlgs=(7, 8))]
    net = Network.of(domain((1, 2), links))
    with pytest.raises(Infeasible) as refusal:
        net.ask(corridor(a=1, z=2, **PROTECT))
    assert (refusal.value.reason, refusal.value.metadata["srlgs"]) == ("NO_DISJOINT_PAIR", "7")


def test_a_second_route_that_is_too_late_or_too_full_is_named_as_such() -> None:
    links = [fibre("F-near", 1, 2, 50), fibre("F-far", 1, 2, 9_000, 4 * (Container.ODU1,))]
    net = Network.of(domain((1, 2), links))
    for fields, reason in (({"max_latency_us": 2_000}, "LATENCY_BOUND"), ({"rates": (5_000_000,)}, "NO_CAPACITY")):
        wanted = corridor(a=1, z=2, **{**PROTECT, **fields})
        with pytest.raises(Infeasible) as refusal:
            plan_or_explain(net.snapshot, wanted)
        assert refusal.value.reason == reason
        if reason == "LATENCY_BOUND":
            told = refusal.value.metadata
            assert plan(net.snapshot, replace(wanted, max_latency_us=int(told["minLatencyUs"])))
            with pytest.raises(Infeasible):
                plan(net.snapshot, replace(wanted, max_latency_us=int(told["minLatencyUs"]) - 1))


@pytest.mark.parametrize(("left", "need"), [(1, 2), (0, 1)])
def test_the_room_that_a_latency_bound_asks_for_is_named_where_it_lacks(left: int, need: int) -> None:
    """One slot clocks 1540 bytes in within 1231 µs, which leaves no 1000 µs of 1800 to a fibre; two do in 616 µs."""
    links = [replace(fibre(name, 1, 2, 1000, (Container.ODU0,)), line_slots=1) for name in ("F-a", "F-b")]
    net = Network.of(domain((1, 2), links))
    standing = net.stand(corridor("fill", 1, 2, rates=(int((119 - left) * 0.94 * SLOT_KBPS),), tenant="globex"))
    (hop,) = slice_of(standing).hops
    assert slice_of(standing).claimed_slots == 119 - left
    with pytest.raises(Infeasible) as refusal:
        plan_or_explain(net.snapshot, corridor(a=1, z=2, rates=(1_000,), max_latency_us=1_800, **PROTECT))
    told = refusal.value.metadata
    assert (refusal.value.reason, told["links"], told["need"]) == ("NO_CAPACITY", hop.link, str(need))
    assert f"has {left} of {need}" in str(refusal.value)


def test_a_pair_is_explained_on_lines_that_have_one() -> None:
    """One fibre of ODU4 joins the ends as well. The small ones have six of eight slots left: two are an ODU1's."""
    small = [fibre(name, 1, 2, 10, (Container.ODU1,)) for name in ("F-a", "F-b")]
    ducts = [replace(link, line_slots=8, srlgs=(number,)) for number, link in enumerate(small)]
    large = replace(fibre("F-large", 1, 2, 10, (), 80), line=Container.ODU4, srlgs=(0, 1))
    net = Network.of(domain((1, 2), [*ducts, large]))
    with pytest.raises(Infeasible) as refusal:
        net.ask(corridor(a=1, z=2, rates=(8_000_000,), **PROTECT))
    assert refusal.value.reason == "NO_CAPACITY"
    assert set(refusal.value.metadata["links"].split(",")) == {link.name for link in small}


def test_a_place_that_both_must_pass_is_shared_and_a_link_cannot_be() -> None:
    net = Network.of(square())
    node = net.topology.otn_of(corridor(a=2).a_end.node)
    wanted = corridor(a=1, z=3, **PROTECT)
    for constraints in (PathConstraints(include_nodes=(node,)), PathConstraints(include_links=(link_name("F-12"),))):
        with pytest.raises(Infeasible) as refusal:
            net.ask(replace(wanted, path_constraints=constraints))
        assert refusal.value.reason == "NO_DISJOINT_PAIR"
    bare = net.stand(corridor(a=1, z=3, path_constraints=PathConstraints(include_links=(link_name("F-12"),))))
    with pytest.raises(Refused):
        net.ask(replace(bare.corridor, **PROTECT))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_what_a_protected_refusal_names_is_accepted(data: st.DataObject) -> None:
    net = Network.of(data.draw(risky()))
    sites = len(net.topology.routers)
    a, z = data.draw(st.permutations(range(1, sites + 1)))[:2]
    rate, bound = data.draw(st.sampled_from([5_000, 2_000_000, 9_000_000])), data.draw(st.sampled_from([0, 300, 1200]))
    wanted = corridor("w", a, z, rates=(rate,), max_latency_us=bound, **PROTECT)
    try:
        plan_or_explain(net.snapshot, wanted)
    except Infeasible as refusal:
        told = refusal.metadata
    else:
        told = {}
    assume(told)
    if "maxBandwidthKbps" in told:
        assert plan(net.snapshot, replace(wanted, profiles=(Profile("p0", int(told["maxBandwidthKbps"])),)))
    if "minLatencyUs" in told:
        assert plan(net.snapshot, replace(wanted, max_latency_us=int(told["minLatencyUs"])))
    restored = replace(wanted, protection=Protection.RESTORE)
    if "protection" in told:
        assert plan(net.snapshot, restored)
    else:
        with pytest.raises(Infeasible):
            plan(net.snapshot, restored)
