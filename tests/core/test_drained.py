"""What is drained is as good as gone for new paths, and nothing else is; what a drain would do is foreseen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Network, corridor, domains, link_name, node_name, seeing_far, square

from controller.core.alternatives import plan_or_explain
from controller.core.draining import foreseen
from controller.core.errors import Infeasible
from controller.core.maintenance import stood_on
from controller.core.model import Corridor, Isolation, LinkKind, NodeKind, PathConstraints, Protection, Status
from controller.core.plan import plan
from controller.core.promises import Reordering
from controller.core.topology import DrainChanged, Topology

SMALL = (5_000,)


def drained(topology: Topology, *names: str) -> Topology:
    for name in names:
        topology = topology.apply(DrainChanged(name, True))
    return topology


def draining(network: Network, *names: str) -> Network:
    network.topology = drained(network.topology, *names)
    return network


def hanging(topology: Topology, router: str) -> set[str]:
    """A router, its client link, its OTN node."""
    for link in topology.links.values():
        if link.kind is LinkKind.CLIENT and router in (link.a_node, link.z_node):
            return {link.name, link.a_node, link.z_node}
    raise AssertionError(router)


def used_by(topology: Topology, name: str) -> set[str]:
    """What a link needs to carry anything: itself, its ends, and what its trail runs over."""
    link = topology.links[name]
    used = {name, link.a_node, link.z_node}
    if link.kind is LinkKind.ADJACENCY:
        used |= hanging(topology, link.a_node) | hanging(topology, link.z_node)
        used = used.union(*(used_by(topology, each) for each in link.trail))
    return used


def joined(topology: Topology, wanted: Corridor, off: Collection[str]) -> bool:
    """Whether there is any way between the ends over what is not kept free."""
    a, z = wanted.a_end.node, wanted.z_end.node
    ends = hanging(topology, a) | hanging(topology, z)
    if ends & set(off):
        return False
    hard = wanted.isolation is Isolation.HARD
    graph = nx.Graph()
    for link in topology.of_kind(LinkKind.FIBRE if hard else LinkKind.ADJACENCY):
        if not used_by(topology, link.name) & set(off):
            graph.add_edge(link.a_node, link.z_node)
    if hard:
        a, z = topology.otn_of(a), topology.otn_of(z)
    return bool(a in graph and z in graph and nx.has_path(graph, a, z))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_corridor_stands_where_there_is_a_way_around_and_is_refused_where_not(data: st.DataObject) -> None:
    network = Network.of(data.draw(domains()))
    sites = sum(node.kind is NodeKind.ROUTER for node in network.topology.nodes.values())
    a, z = data.draw(st.permutations(range(1, sites + 1)))[:2]
    wanted = corridor("c1", a, z, data.draw(st.sampled_from(Isolation)), SMALL)
    things = sorted([*network.topology.nodes, *network.topology.links])
    off = data.draw(st.lists(st.sampled_from(things), min_size=1, max_size=3, unique=True))
    draining(network, *off)
    if not joined(network.topology, wanted, off):
        with pytest.raises(Infeasible) as refused:
            plan(network.snapshot, wanted)
        assert refused.value.reason == "DRAINED"
        assert set(refused.value.metadata["drained"].split(",")) <= set(off)
        return
    change = plan(network.snapshot, wanted)
    leg = change.record.corridor.legs[0]
    assert not set(off) & set(leg.nodes).union(*(used_by(network.topology, each) for each in leg.links))
    assert change.record.target is not None
    assert not set(off) & stood_on(network.topology, change.record.target)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_a_placement_stands_on_is_all_that_its_path_needs(data: st.DataObject) -> None:
    network = Network.of(data.draw(domains()))
    sites = sum(node.kind is NodeKind.ROUTER for node in network.topology.nodes.values())
    a, z = data.draw(st.permutations(range(1, sites + 1)))[:2]
    record = network.stand(corridor("c1", a, z, data.draw(st.sampled_from(Isolation)), SMALL))
    assert record.target is not None
    leg = record.target.leg
    needed = hanging(network.topology, node_name(f"r{a}")) | hanging(network.topology, node_name(f"r{z}"))
    needed = needed.union(leg.nodes, *(used_by(network.topology, each) for each in leg.links))
    assert stood_on(network.topology, record.target) == needed


@pytest.mark.parametrize("isolation", Isolation)
def test_a_change_of_a_corridor_that_cannot_leave_is_made_where_it_stands(isolation: Isolation) -> None:
    only = {Isolation.HARD: "F-13", Isolation.SOFT: "A-13"}[isolation]
    bound = PathConstraints(include_links=(link_name(only),))
    network = Network.of(square())
    before = network.stand(corridor(isolation=isolation, path_constraints=bound))
    draining(network, link_name(only))
    wanted = replace(before.corridor, active_profile="p1")
    with pytest.raises(Infeasible) as refused:
        plan(network.snapshot, wanted)
    assert (refused.value.reason, refused.value.metadata["drained"]) == ("DRAINED", link_name(only))
    change = plan_or_explain(network.snapshot, wanted)
    assert change.record.corridor.legs[0].links == before.corridor.legs[0].links
    with pytest.raises(Infeasible):
        plan_or_explain(network.snapshot, corridor("c2", isolation=isolation, path_constraints=bound, tenant="globex"))


@pytest.mark.parametrize("isolation", Isolation)
def test_a_change_of_one_that_can_leave_takes_it_off(isolation: Isolation) -> None:
    network = Network.of(square())
    before = network.stand(corridor(isolation=isolation))
    draining(network, before.corridor.legs[0].links[0])
    change = plan_or_explain(network.snapshot, replace(before.corridor, active_profile="p1"))
    assert before.corridor.legs[0].links[0] not in change.record.corridor.legs[0].links


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("end", ["r1", "o1", "C-r1"])
def test_who_ends_at_what_is_drained_finds_another_way_when_a_failure_takes_its_own(
    isolation: Isolation, end: str
) -> None:
    network = Network.of(square())
    before = network.stand(corridor(isolation=isolation))
    draining(network, node_name(end) if end[0] in "ro" else link_name(end))
    lost = before.corridor.legs[0].links[0]
    network.link(lost.rpartition("/")[2], Status.DOWN)
    change = plan(network.snapshot, before.corridor)
    assert lost not in change.record.corridor.legs[0].links


def test_both_routes_of_a_protected_corridor_keep_off() -> None:
    network = Network.of(square())
    before = network.stand(corridor(protection=Protection.PROTECT))
    assert before.target is not None
    fibres = [{hop.link for hop in part.hops} for part in before.target.leg.slices]
    for fibre in sorted(fibres[1]):
        moved = plan(draining(Network.of(square()), fibre).snapshot, corridor(protection=Protection.PROTECT))
        assert moved.record.target is not None
        assert fibre not in {hop.link for part in moved.record.target.leg.slices for hop in part.hops}


def test_both_ways_of_a_protected_soft_corridor_keep_off() -> None:
    network = Network.of(seeing_far(square()))
    asked = corridor(isolation=Isolation.SOFT, protection=Protection.PROTECT)
    before = network.stand(asked)
    leg = before.corridor.legs[0]
    assert leg.backup is not None
    assert before.target is not None
    below = {name for link in leg.backup.links for name in used_by(network.topology, link)}
    below -= hanging(network.topology, asked.a_end.node) | hanging(network.topology, asked.z_end.node)
    assert below <= stood_on(network.topology, before.target)
    for name in sorted(below):
        with pytest.raises(Infeasible) as refused:  # of the square there are no other two
            plan(draining(Network.of(seeing_far(square())), name).snapshot, asked)
        assert refused.value.reason == "DRAINED"
        assert name in refused.value.metadata["drained"]
        told = foreseen(network.snapshot, name)
        assert [each.reason for each in told.staying] == ["DRAINED"]


def test_undraining_is_as_if_nothing_had_been() -> None:
    network = Network.of(square())
    before = network.topology
    for name in (node_name("o1"), link_name("F-12"), link_name("A-13")):
        network.topology = drained(network.topology, name)
        assert network.topology.drained == {name}
        network.topology = network.topology.apply(DrainChanged(name, False))
        assert (network.topology.nodes, network.topology.links) == (before.nodes, before.links)
    assert drained(network.topology, node_name("o1")).apply(DrainChanged(node_name("o1"), True)).version == (
        drained(network.topology, node_name("o1")).version
    )


def test_the_view_tells_an_adjacency_that_something_below_it_is_drained() -> None:
    topology = Network.of(square()).topology
    for name, riders in (
        (link_name("F-12"), {"A-12", "A-13"}),
        (node_name("o2"), {"A-12", "A-32", "A-13"}),
        (link_name("C-r2"), {"A-12", "A-32"}),
        (link_name("A-34"), {"A-34"}),
        (node_name("r2"), set()),
    ):
        told = {link.name for link in drained(topology, name).view().links if link.drained}
        assert told == {link_name(each) for each in riders} | ({name} & topology.links.keys())


# -- what a drain would do ---------------------------------------------------------------------------------------------


def test_the_highest_priority_moves_first_and_room_that_one_leaves_serves_another() -> None:
    """Where only one of two finds room, it is the one that its owner holds dearer."""
    rates = (1_150_000,)  # nearly all of a server ODU: no two of them fit one fibre
    network = Network.of(square(servers=()))
    low = network.stand(corridor("low", 1, 2, rates=rates, priority=1))
    high = network.stand(corridor("high", 1, 2, rates=rates, priority=5, tenant="globex"))
    told = foreseen(network.snapshot, node_name("o2"))
    assert told.moved == ()
    assert {each.reason for each in told.staying} == {"ENDS_HERE"}
    shared = set(low.corridor.legs[0].links) & set(high.corridor.legs[0].links)
    assert shared, "they stand beside each other"
    told = foreseen(network.snapshot, shared.pop())
    assert told.moved[:1] == (high.name,)


def test_what_is_foreseen_changes_nothing_and_says_what_keeps_whom() -> None:
    network = Network.of(square())
    network.stand(corridor("free", 1, 3))
    pinned = PathConstraints(include_links=(link_name("F-13"),))
    network.stand(corridor("pinned", 1, 3, tenant="globex", path_constraints=pinned))
    before = network.snapshot
    told = foreseen(before, link_name("F-13"))
    assert (told.name, told.drained) == (link_name("F-13"), False)
    assert told.moved == ("tenants/acme/corridors/free",)
    assert [(each.corridor, each.reason) for each in told.staying] == [("tenants/globex/corridors/pinned", "DRAINED")]
    assert network.snapshot.records == before.records
    assert network.snapshot.topology.drained == frozenset()


def test_who_forbids_reordering_stays_where_the_other_way_is_faster() -> None:
    """It would have to leave a longer way for a shorter one, on which its packets overtake."""
    network = Network.of(square())
    long_way = PathConstraints(exclude_links=(link_name("F-13"),))
    made = network.stand(corridor(path_constraints=long_way))
    record = network.records[made.name]
    free = replace(record.corridor, path_constraints=PathConstraints(), reordering=Reordering.FORBID)
    network.records[made.name] = replace(record, corridor=free)
    told = foreseen(network.snapshot, made.corridor.legs[0].links[0])
    assert [each.reason for each in told.staying] == ["NEEDS_INTERRUPTION"]
    allowed = replace(free, allow_interruption=True)
    network.records[made.name] = replace(record, corridor=allowed)
    assert foreseen(network.snapshot, made.corridor.legs[0].links[0]).moved == (made.name,)
