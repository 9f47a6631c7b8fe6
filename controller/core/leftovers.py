"""What nodes that do not answer may still hold of a placement that is gone everywhere else.

A silent node keeps nobody waiting: the corridor is settled, and what that node may still hold stays claimed until it
has let go. Nothing of it is desired, so a node that comes back removes it by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from controller.core.conditions import ConditionType, with_condition, without_condition
from controller.core.ids import Ids
from controller.core.model import Corridor, SliceHop, Stage
from controller.core.records import Leftover, Placement, Record, paths_of
from controller.core.render import render_record
from controller.core.topology import Topology

NODE_SILENT = "NODE_SILENT"


def settled(topology: Topology, record: Record, leaving: Placement | None, silent: Collection[str]) -> Record:
    """The record with what silent nodes may hold of the placement that it left; one that goes is not gone yet."""
    if leaving is None or leaving == record.target:
        return record
    nodes = tuple(sorted(set(silent) & holders(topology, leaving)))
    if not nodes:
        return record
    more = Leftover(leaving, nodes, _hops(topology, leaving, nodes))
    corridor = replace(record.corridor, reconciling=record.corridor.reconciling or record.target is None)
    return replace(record, corridor=corridor, leftovers=(*record.leftovers, more))


def released(topology: Topology, record: Record, gone: Iterable[tuple[Leftover, str]]) -> Record:
    """The record after nodes have let go."""
    confirmed = set(gone)
    left = [
        replace(each, nodes=nodes, hops=_hops(topology, each.placement, nodes))
        for each in record.leftovers
        if (nodes := tuple(node for node in each.nodes if (each, node) not in confirmed))
    ]
    return replace(record, leftovers=tuple(left))


def told(record: Record, now: datetime) -> Corridor:
    """The public face of a record, with the condition that says which nodes are waited for."""
    nodes = sorted({node for each in record.leftovers for node in each.nodes})
    if not nodes:
        return without_condition(record.corridor, ConditionType.DRAINING)
    some = f"{', '.join(nodes)} {'does' if len(nodes) == 1 else 'do'} not answer"
    message = f"{some}: what may still stand there of the former path stays claimed until it is gone"
    return with_condition(record.corridor, ConditionType.DRAINING, True, NODE_SILENT, message, now)


def keys_at(topology: Topology, ids: Ids, record: Record, leftover: Leftover) -> Mapping[str, frozenset[Hashable]]:
    """By node that is waited for: the keys of all that it may hold."""
    alone = Record(record.corridor, None, leftover.placement, Stage.SETTLED)
    held = render_record(topology, ids, alone)
    return {node: frozenset(held.get(node, ())) for node in leftover.nodes}


def known(topology: Topology, record: Record) -> Record:
    """The record as a new start finds it: of what the topology file has no more nobody is waited for."""
    left = tuple(each for each in record.leftovers if _is_planned(topology, each))
    return record if left == record.leftovers else replace(record, leftovers=left)


def _is_planned(topology: Topology, leftover: Leftover) -> bool:
    """Whether all of it is in the topology, so that its entries can be told."""
    placement, leg = leftover.placement, leftover.placement.leg
    ends = (placement.a_end, placement.z_end)
    nodes = {*leftover.nodes, *leg.nodes, *(leg.backup.nodes if leg.backup else ()), *(end.node for end in ends)}
    links = {link for path in paths_of(leg) for link in path} | {hop.link for part in leg.slices for hop in part.hops}
    there = nodes <= topology.nodes.keys() and links <= topology.links.keys()
    return there and all(topology.access_port(end.node, end.port) is not None for end in ends)


def holders(topology: Topology, placement: Placement) -> set[str]:
    """Nodes with entries of a placement: its ends, and the OTN nodes that its slices pass."""
    links = (topology.links[hop.link] for part in placement.leg.slices for hop in part.hops)
    passed = {node for link in links for node in (link.a_node, link.z_node)}
    return {placement.a_end.node, placement.z_end.node, *passed}


def _hops(topology: Topology, placement: Placement, nodes: Collection[str]) -> tuple[SliceHop, ...]:
    every = (hop for part in placement.leg.slices for hop in part.hops)
    ends = ((hop, topology.links.get(hop.link)) for hop in every)
    return tuple(hop for hop, link in ends if link is not None and {link.a_node, link.z_node} & set(nodes))
