"""A protected soft corridor: two paths that nothing takes together, watched by loops that keep to them, always."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any

import networkx as nx
import pytest
from bookkeeping import taken
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from journeys import Tables, addresses, fibre_route, port_of, world
from networks import (
    Network,
    adjacency,
    chain,
    corridor,
    domain,
    domains,
    fibre,
    link_name,
    node_name,
    seeing_far,
    square,
)
from packet_walk import Lost, Packet, World

from controller.core.alternatives import plan_or_explain
from controller.core.entries import Exact, TableEntry
from controller.core.errors import Infeasible, Refused
from controller.core.model import Isolation, Leg, LinkKind, NodeKind, PathConstraints, Protection, Stage, Status
from controller.core.otn import RowKey
from controller.core.otn.ledger import ClaimRole
from controller.core.plan import plan
from controller.core.records import Placement, Record, claims_of
from controller.core.topology import Topology

PROTECTED: dict[str, Any] = {"isolation": Isolation.SOFT, "protection": Protection.PROTECT}
NAME = "tenants/acme/corridors/c1"


# -- an oracle: every path, and what it fails with ---------------------------------------------------------------------


def all_paths(topology: Topology, a: str, z: str) -> list[tuple[str, ...]]:
    """Every simple path of usable adjacencies, by its links."""
    graph = nx.MultiGraph()
    graph.add_nodes_from((a, z))
    for link in topology.of_kind(LinkKind.ADJACENCY):
        if topology.usable(link):
            graph.add_edge(link.a_node, link.z_node, key=link.name)
    return [tuple(edge[2] for edge in path) for path in nx.all_simple_edge_paths(graph, a, z)]


def risks(topology: Topology, path: tuple[str, ...], a: str, z: str) -> set[object]:
    """Links, fibres, groups, and nodes of both layers; but for the ends and the OTN nodes that these hang on."""
    found: set[object] = set()
    for name in path:
        rider = topology.links[name]
        below = [topology.links[each] for each in rider.trail]
        found |= {name, *rider.trail, *rider.srlgs, rider.a_node, rider.z_node}
        found |= {group for each in below for group in each.srlgs}
        found |= {end for each in below for end in (each.a_node, each.z_node)}
    return found - {a, z, topology.otn_of(a), topology.otn_of(z)}


def paths_of(leg: Leg) -> list[tuple[str, ...]]:
    assert leg.backup is not None
    return [leg.links, leg.backup.links]


def with_groups(draw: st.DrawFn, topology: Topology) -> Topology:
    """Fibres in random groups, and riders in those of their fibres."""
    links = dict(topology.links)
    for link in topology.of_kind(LinkKind.FIBRE):
        group = draw(st.sampled_from([(), (), (), (7,), (8,)]))
        links[link.name] = replace(link, srlgs=group)
    for rider in topology.of_kind(LinkKind.ADJACENCY):
        groups = {group for each in rider.trail for group in links[each].srlgs}
        links[rider.name] = replace(rider, srlgs=tuple(sorted(groups)))
    return replace(topology, links=links)


def three_ways() -> Topology:
    """From site 1 to 3 by way of 2, 4 or 5; and from 4 to 3 shorter by way of 5."""
    links = []
    for a, z, us in ((1, 2, 100), (2, 3, 100), (1, 4, 100), (4, 3, 200), (1, 5, 400), (4, 5, 20), (5, 3, 20)):
        links += [fibre(f"F-{a}{z}", a, z), adjacency(f"A-{a}{z}", a, z, [f"F-{a}{z}"], us)]
    return domain(range(1, 6), links)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    shape = draw(st.one_of(domains(6), st.just(square()), st.just(three_ways())))
    return Network.of(with_groups(draw, seeing_far(shape)))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_two_paths_apart_are_found_where_there_are_any(data: st.DataObject) -> None:
    net = data.draw(networks())
    sites = sum(node.kind is NodeKind.ROUTER for node in net.topology.nodes.values())
    assume(sites > 2)
    a, z = data.draw(st.permutations(range(1, sites + 1)))[:2]
    ends = node_name(f"r{a}"), node_name(f"r{z}")
    paths = all_paths(net.topology, *ends)
    apart = [
        pair
        for pair in combinations(paths, 2)
        if risks(net.topology, pair[0], *ends).isdisjoint(risks(net.topology, pair[1], *ends))
    ]
    event(f"apart: {bool(apart)}")
    try:
        record = net.ask(corridor(a=a, z=z, **PROTECTED))
    except Infeasible as refusal:
        reason, record = refusal.reason, None
    else:
        reason = ""
    assert (record is None) is not bool(apart)
    if record is None or record.target is None:
        assert reason == ("NO_DISJOINT_PAIR" if paths else "NO_PATH")
        return
    found = paths_of(record.target.leg)
    assert {*map(tuple, found)} <= set(paths)
    assert risks(net.topology, found[0], *ends).isdisjoint(risks(net.topology, found[1], *ends))


# -- what headends do with it ------------------------------------------------------------------------------------------


def sessions(tables: Tables) -> Iterator[tuple[str, int]]:
    for router, entries in tables.items():
        for each in entries:
            if isinstance(each, TableEntry) and each.table == "path_probe":
                number = dict(each.match)["session"]
                assert isinstance(number, Exact)
                yield router, number.value


def after_cuts(net: Network, tables: Tables, *cut: str) -> World:
    """The world with these fibres cut, each headend knowing what its probes found."""
    here = world(net, tables)
    here.cut = set(cut)
    for session in sessions(tables):
        try:
            here.probe(*session)
        except Lost:
            here.down.add(session)
    return here


def ways(net: Network, placement: Placement) -> list[tuple[str, ...]]:
    """Fibres of the path and of the backup, A to Z."""
    backup = placement.leg.backup
    legs = [placement.leg] + ([replace(placement.leg, links=backup.links)] if backup else [])
    return [fibre_route(net, replace(placement, leg=leg)) for leg in legs]


def arrive(net: Network, here: World, placement: Placement) -> set[tuple[str, ...]]:
    """Packets of both directions and families arrive at their ports; the fibres they took, A to Z."""
    taken_ways = set()
    for source, sink in ((placement.a_end, placement.z_end), (placement.z_end, placement.a_end)):
        for a, z in addresses(source, sink):
            journey = here.send(source.node, port_of(net, source), Packet(a, z))
            assert journey.delivered == (sink.node, port_of(net, sink), placement.vrf)
            fibres = tuple(journey.fibres)
            taken_ways.add(fibres if source is placement.a_end else fibres[::-1])
    return taken_ways


def carrying(record: Record) -> Placement | None:
    return record.current if record.stage is Stage.BUILD else record.target


def survives_any_fibre(net: Network, tables: Tables, *already: str) -> None:
    """With any one more fibre cut, where another way stands: packets arrive, on what the corridor holds alone."""
    placement = carrying(net.records[NAME])
    if placement is None:
        return
    held = ways(net, placement)
    for name in {name for way in held for name in way}:
        whole = [way for way in held if not {name, *already} & set(way)]
        if whole:
            assert arrive(net, after_cuts(net, tables, name, *already), placement) <= set(whole)


def walk_stages(net: Network, *cut: str) -> None:
    """Every stage of the change that was just booked."""
    while NAME in net.records:
        tables, record = net.tables(), net.records[NAME]
        loops_keep_to_their_paths(net, tables, *cut)
        placement = carrying(record)
        if placement is not None:
            held = {way for each in record.placements for way in ways(net, each)}
            assert arrive(net, after_cuts(net, tables, *cut), placement) <= held
        survives_any_fibre(net, tables, *cut)
        if record.stage is Stage.SETTLED:
            return
        net.step(NAME)


def loops_keep_to_their_paths(net: Network, tables: Tables, *cut: str) -> None:
    """A probe comes home, out and back over one of the ways that its corridor stands on; or is lost on a cut one."""
    held = {way for record in net.records.values() for each in record.placements for way in ways(net, each)}
    loops = {way + way[::-1] for way in held} | {way[::-1] + way for way in held}
    here = world(net, tables)
    for router, number in sessions(tables):
        journey = here.probe(router, number)
        assert journey.home == router
        assert tuple(journey.fibres) in loops
    here.cut = set(cut)
    for router, number in sessions(tables):
        with suppress(Lost):
            assert not set(cut) & set(here.probe(router, number).fibres)


def two_ways(net: Network) -> Record:
    """A corridor between two routers that has a backup; assumed to be found."""
    sites = [node.name.rsplit("r", 1)[1] for node in net.topology.routers]
    for a, z in combinations(map(int, sites), 2):
        try:
            return net.ask(corridor(a=a, z=z, **PROTECTED))
        except Infeasible:
            continue
    assume(False)
    raise AssertionError


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_single_cut_is_survived_at_every_stage_of_any_change(data: st.DataObject) -> None:
    net = data.draw(networks())
    two_ways(net)
    walk_stages(net)
    for _ in range(data.draw(st.integers(1, 3))):
        corridor_now = net.records[NAME].corridor
        kind = data.draw(st.sampled_from(["unprotect", "protect", "resize", "avoid"]))
        if kind == "unprotect":
            wanted = replace(corridor_now, protection=Protection.RESTORE)
        elif kind == "protect":
            wanted = replace(corridor_now, protection=Protection.PROTECT)
        elif kind == "resize":
            profiles = tuple(replace(p, bandwidth_kbps=p.bandwidth_kbps // 2) for p in corridor_now.profiles)
            wanted = replace(corridor_now, profiles=profiles)
        else:
            links = [link.name for link in net.topology.of_kind(LinkKind.ADJACENCY)]
            avoided = PathConstraints(exclude_links=(data.draw(st.sampled_from(links)),))
            wanted = replace(corridor_now, path_constraints=avoided)
        try:
            net.ask(wanted)
        except Refused as refusal:
            event(f"{kind} refused: {refusal.reason}")
            continue
        event(kind)
        walk_stages(net)
    net.remove(NAME)
    walk_stages(net)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_cut_that_lasts_is_planned_around_without_a_step_back_onto_the_dead_path(data: st.DataObject) -> None:
    net = data.draw(networks())
    record = two_ways(net)
    net.settle(NAME)
    assert record.target is not None
    first, second = ways(net, record.target)
    cut = data.draw(st.sampled_from([*first, *second]))
    before = paths_of(record.target.leg)
    net.link(cut.rsplit("/", 1)[1], Status.DOWN)
    walk_stages(net, cut)
    after = net.ask(net.records[NAME].corridor).target
    assert after is not None
    survivor = before[1] if cut in first else before[0]
    if after.leg.backup is None:
        event("no second path is left")
        assert cut not in ways(net, after)[0]
    else:
        event(f"survivor stays: {after.leg.links == survivor}")
        assert all(cut not in way for way in ways(net, after))
    walk_stages(net, cut)
    net.link(cut.rsplit("/", 1)[1], Status.UP)
    walk_stages(net)


# -- by hand -----------------------------------------------------------------------------------------------------------


def stands(net: Network, **fields: object) -> Placement:
    placement = net.stand(corridor(**{**PROTECTED, **fields})).target
    assert placement is not None
    return placement


def test_both_paths_are_claimed_and_nothing_twice() -> None:
    net = Network.of(seeing_far(square()))
    placement = stands(net, reverse=50_000)
    roles = {claim.row: claim.role for claim in claims_of(net.records[NAME])}
    for links, role in zip(paths_of(placement.leg), (ClaimRole.WORKING, ClaimRole.PROTECTION), strict=True):
        assert {roles[RowKey(name, "", way)] for name in links for way in (0, 1)} == {role}
    books = taken(net.ledger)
    for name in (name for links in paths_of(placement.leg) for name in links):
        rates = sorted(books[RowKey(name, "", way)][1] for way in (0, 1))
        assert rates == sorted((placement.claimed_forward_kbps, placement.claimed_reverse_kbps))


def test_two_adjacencies_over_one_fibre_are_not_apart() -> None:
    links = [
        fibre("F-12", 1, 2),
        fibre("F-23", 2, 3),
        adjacency("A-12", 1, 2, ["F-12"]),
        adjacency("A-23", 2, 3, ["F-23"]),
        adjacency("A-13", 1, 3, ["F-12", "F-23"]),
    ]
    net = Network.of(seeing_far(domain((1, 2, 3), links)))
    with pytest.raises(Infeasible) as refused:
        plan_or_explain(net.snapshot, corridor(**PROTECTED))
    assert refused.value.reason == "NO_DISJOINT_PAIR"
    shared = set(refused.value.metadata["shared"].split(","))
    assert shared & {link_name("F-12"), link_name("F-23"), node_name("o2")}
    assert refused.value.metadata["protection"] == "RESTORE"


def test_the_slower_path_counts_for_the_latency_bound() -> None:
    net = Network.of(seeing_far(square()))
    leg = stands(net).leg
    assert leg.backup is not None
    assert leg.latency_us == leg.backup.latency_us
    net.take_away(NAME)
    with pytest.raises(Infeasible) as late:
        plan_or_explain(net.snapshot, corridor(**PROTECTED, max_latency_us=leg.latency_us - 1))
    assert late.value.reason == "LATENCY_BOUND"
    assert late.value.metadata["minLatencyUs"] == str(leg.latency_us)


def test_a_path_without_room_for_a_second_is_refused_with_what_lacks() -> None:
    net = Network.of(seeing_far(square()))
    net.stand(corridor("other", 1, 4, Isolation.SOFT, (1_000_000,), "globex"))
    with pytest.raises(Infeasible) as full:
        plan(net.snapshot, corridor(**PROTECTED, rates=(600_000,)))
    assert full.value.reason == "NO_CAPACITY"
    assert link_name("A-14") in full.value.metadata["links"].split(",")


def test_protecting_a_standing_corridor_moves_nothing() -> None:
    net = Network.of(seeing_far(square()))
    single = net.stand(corridor(isolation=Isolation.SOFT, protection=Protection.RESTORE))
    assert single.target is not None
    protected = net.stand(replace(single.corridor, protection=Protection.PROTECT))
    assert protected.target is not None
    assert protected.target.leg.links == single.target.leg.links
    assert protected.target.leg.forward == single.target.leg.forward


def test_a_standing_path_moves_where_all_that_could_stand_beside_it_is_in_a_group_with_it() -> None:
    topology, group = seeing_far(three_ways()), ("F-12", "A-12", "F-14", "A-14")
    grouped = {name: replace(topology.links[name], srlgs=(7,)) for name in map(link_name, group)}
    net = Network.of(replace(topology, links={**topology.links, **grouped}))
    single = net.stand(corridor(isolation=Isolation.SOFT))
    assert single.target is not None
    assert single.target.leg.nodes[1] == node_name("r4")
    leg = stands(net).leg
    assert leg.backup is not None
    assert {leg.nodes[1], leg.backup.nodes[1]} == {node_name("r2"), node_name("r5")}


def test_a_backup_of_a_dead_path_carries_on_as_the_path() -> None:
    net = Network.of(seeing_far(square()))
    leg = stands(net).leg
    first, second = paths_of(leg)
    dead = net.topology.links[first[0]].trail[0]
    net.link(dead.rsplit("/", 1)[1], Status.DOWN)
    after = net.ask(net.records[NAME].corridor).target
    assert after is not None
    assert after.leg.links == second
    assert after.leg.backup is None, "there is no third way: one path is better than none"
    net.settle(NAME)
    with pytest.raises(Infeasible):
        plan(net.snapshot, corridor("c2", tenant="globex", **PROTECTED))


def test_a_path_too_long_to_be_watched_is_refused() -> None:
    """Every hop of one way costs a uA there and one back: more than fits."""
    sites = 8
    row = chain(sites, twins=True)
    around = [fibre("F-around", 1, sites), adjacency("A-around", 1, sites, ["F-around"], 5000)]
    topology = domain(range(1, sites + 1), [*(k for k in row.links.values() if k.kind is not LinkKind.CLIENT), *around])
    net = Network.of(seeing_far(topology))
    with pytest.raises(Infeasible) as refused:
        net.ask(corridor(a=1, z=sites, **PROTECTED))
    assert refused.value.reason == "PROBE_TOO_LONG"
    single = net.stand(corridor(a=1, z=sites, isolation=Isolation.SOFT))
    assert not list(sessions(net.tables())) or single.target is None or len(single.target.leg.links) == 1


def test_routers_that_see_their_own_ports_alone_get_nothing_of_it() -> None:
    net = Network.of(square())
    net.stand(corridor(isolation=Isolation.SOFT))
    net.stand(corridor("c2", 2, 4))
    assert not list(sessions(net.tables()))
    assert not [key for key in net.ids.assigned if key.kind == "session"]


def test_a_slice_is_measured_over_itself() -> None:
    net = Network.of(seeing_far(square()))
    placement = net.stand(corridor()).target
    assert placement is not None
    ((router, number),) = sessions(net.tables())
    journey = world(net).probe(router, number)
    assert (router, journey.home) == (placement.a_end.node, placement.a_end.node)
    there = ways(net, placement)[0]
    assert tuple(journey.fibres) == there + there[::-1]


def test_lists_of_a_backup_are_encoded_anew_before_routes_change_and_its_session_with_them() -> None:
    """A shorter way past the backup's comes up: routes wait until its list keeps to the path under them too."""
    net = Network.of(seeing_far(three_ways()))
    net.link("F-45", Status.DOWN)
    placement = stands(net, path_constraints=PathConstraints(exclude_nodes=(node_name("r5"),)))
    before = {path: dict(sessions_of(net, path)) for path in paths_of(placement.leg)}
    net.link("F-45", Status.UP)
    assert net.routing is not None
    assert net.routing.waiting == {NAME}
    walk_stages(net)
    renewed = net.ask(net.records[NAME].corridor).target
    assert renewed is not None
    assert paths_of(renewed.leg) == paths_of(placement.leg)
    counts = []
    for _ in range(3):
        counts.append(len(list(sessions(net.tables()))))
        net.step(NAME)
    assert counts == [6, 6, 4], "the new sessions find out before, the old ones stay while traffic may be theirs"
    walk_stages(net)
    assert not net.routing.waiting
    first, second = paths_of(renewed.leg)
    assert dict(sessions_of(net, first)) == before[first]
    assert not dict(sessions_of(net, second)).items() & before[second].items()


def sessions_of(net: Network, path: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """(router, session) of those whose probes go over a path and back."""
    fibres = [net.topology.links[name].trail[0] for name in path]
    here, tables = world(net), net.tables()
    for router, number in sessions(tables):
        if set(here.probe(router, number).fibres) == set(fibres):
            yield router, number
