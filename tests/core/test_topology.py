"""The live topology as a value, and its public view."""

from __future__ import annotations

from networks import Network, link_name, node_name, square

from controller.core.model import Status
from controller.core.topology import NodeChanged


def test_a_topology_never_changes_under_its_holder() -> None:
    before = Network.of(square()).topology
    assert before.usable(before.links[link_name("F-12")])
    after = before.apply(NodeChanged(node_name("o2"), Status.UNREACHABLE))
    assert before.usable(before.links[link_name("F-12")])
    assert not after.usable(after.links[link_name("F-12")])
    assert after.usable(after.links[link_name("F-34")])
    assert after.version == before.version + 1
    assert after.apply(NodeChanged(node_name("o2"), Status.UNREACHABLE)) is after


def test_the_public_view_has_both_layers_both_ways() -> None:
    topology = Network.of(square()).topology
    graph = topology.graph
    assert set(graph.nodes) == set(topology.nodes)
    assert graph.number_of_edges() == 2 * len(topology.links)
    data = graph[node_name("r2")][node_name("r3")][link_name("A-32")]
    assert (data["link"].name, data["direction"]) == (link_name("A-32"), 1)
