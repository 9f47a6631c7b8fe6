"""Nodes and links that are kept free: what stands on them, what keeps off them, and what draining one says."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from controller.core.errors import Infeasible
from controller.core.model import Corridor, Isolation, LinkKind, NodeKind
from controller.core.records import Placement
from controller.core.topology import Topology


@dataclass(frozen=True, slots=True)
class Staying:
    """A corridor that could not be moved off."""

    corridor: str
    """`tenants/{tenant}/corridors/{corridor}`."""
    reason: str
    """A stable word for programs."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Draining:
    """Whether a node or link is kept free for maintenance, and what is still on it."""

    name: str = ""
    """`domains/{domain}/nodes/{node}` or `domains/{domain}/links/{link}`."""
    drained: bool = False
    """Nothing new is placed on it."""
    moved: tuple[str, ...] = ()
    """Corridors that were moved off by this call."""
    staying: tuple[Staying, ...] = ()
    """Corridors that still stand on it. Empty: it can be switched off."""


DRAINED, ENDS_HERE = "DRAINED", "ENDS_HERE"
"""Reasons: of a refusal or a move; of a corridor that stays."""
_LAYER = {Isolation.SOFT: (NodeKind.ROUTER, LinkKind.ADJACENCY), Isolation.HARD: (NodeKind.OTN, LinkKind.FIBRE)}


def stood_on(topology: Topology, placement: Placement) -> frozenset[str]:
    """Every node and link that carries it, in both layers: protection and backup too."""
    ends, leg = ends_of(topology, (placement.a_end.node, placement.z_end.node)), placement.leg
    if leg.slices:
        fibres = {hop.link for part in leg.slices for hop in part.hops}
        return ends | fibres | topology.ends(fibres)
    ways = [(leg.nodes, leg.links)] + ([(leg.backup.nodes, leg.backup.links)] if leg.backup else [])
    carried = {name for nodes, links in ways for name in (*nodes, *links)}
    below = (topology.below(topology.links[name]) for _, links in ways for name in links)
    return ends.union(carried, *below)


def ends_of(topology: Topology, routers: Collection[str]) -> frozenset[str]:
    """What a corridor between these routers cannot do without: they, their client links and their OTN nodes."""
    clients = topology.client_links
    hung = (name for end in routers if end in clients for name in (clients[end].name, topology.otn_of(end)))
    return frozenset(routers).union(hung)


def kept_off(topology: Topology, isolation: Isolation, ends: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """(nodes, links) of a layer that no new path between these routers may use: drained, or riding on what is.

    What the ends themselves hang on is no choice of path: who stands there stays, and nobody new is let there
    (`require_ends_in_use`).
    """
    off = topology.drained - ends_of(topology, ends)
    if not off:
        return frozenset(), frozenset()
    node_kind, link_kind = _LAYER[isolation]
    nodes = (name for name in off & topology.nodes.keys() if topology.nodes[name].kind is node_kind)
    links = (
        link for link in topology.of_kind(link_kind) if link.name in off or not off.isdisjoint(topology.below(link))
    )
    return frozenset(nodes), frozenset(link.name for link in links)


def require_ends_in_use(corridor: Corridor, topology: Topology, standing: Placement | None) -> None:
    """`Infeasible` (DRAINED) where it would begin to end at what is drained; where it ends already, it may stay."""
    if not topology.drained:
        return
    ends = {corridor.a_end.node, corridor.z_end.node}
    new = ends - ({standing.a_end.node, standing.z_end.node} if standing else set())
    if drained := topology.drained & ends_of(topology, new):
        raise refusal(drained)


def refusal(drained: Collection[str], why: str = "") -> Infeasible:
    """Of what would need things that are kept free."""
    names = sorted(drained)
    text = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} kept free for maintenance"
    return Infeasible(f"{why}{text}", reason=DRAINED, metadata={"drained": ",".join(names)})
