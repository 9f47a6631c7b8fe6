"""Few sites of the metro domain: a chain of three fibres, or with the fourth a ring; quick to start and to break."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from running_controller import METRO, load

from controller.core.names import short
from controller.topology_file import TopologyFile

SITES = ("zgc", "cp", "tz", "yz")
ACROSS = "F-zgc-yz"
"""The fibre that makes a ring of the chain zgc, cp, tz, yz."""


def part_of(plan: TopologyFile, sites: Collection[str], without: Collection[str] = ()) -> TopologyFile:
    """What is left of a plan: these sites, less some links, and the trails that run there."""
    nodes = tuple(node for node in plan.nodes if short(node.name).split("-")[0] in sites)
    names = {node.name for node in nodes}
    links = [k for k in plan.links if {k.a_node, k.z_node} <= names and short(k.name) not in without]
    lit = {link.name for link in links}
    return replace(plan, nodes=nodes, links=tuple(link for link in links if set(link.trail) <= lit))


def chain() -> TopologyFile:
    return part_of(load(METRO), SITES, {ACROSS})


def ring() -> TopologyFile:
    return part_of(load(METRO), SITES)
