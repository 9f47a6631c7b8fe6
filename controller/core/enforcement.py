"""How the headends of a corridor hold it to its profile: told by what they are now, shown wherever a corridor is."""

from __future__ import annotations

from dataclasses import replace

from controller.core.model import Corridor, Enforcement, Leg
from controller.core.topology import Topology


def with_enforcement(corridor: Corridor, topology: Topology) -> Corridor:
    """The corridor with what its headends do to excess traffic, in each of its legs of this domain."""
    return replace(corridor, legs=tuple(_told(leg, topology) for leg in corridor.legs))


def _told(leg: Leg, topology: Topology) -> Leg:
    """A leg begins and ends at the first and last of its routers; one that has left the topology says nothing."""
    if leg.domain != topology.domain or not leg.nodes:
        return leg
    forward, reverse = (enforcement(topology, router) for router in (leg.nodes[0], leg.nodes[-1]))
    return replace(leg, forward_enforcement=forward, reverse_enforcement=reverse)


def enforcement(topology: Topology, router: str) -> Enforcement:
    node = topology.nodes.get(router)
    return Enforcement.SHAPED if node is None or node.capabilities.shaping else Enforcement.POLICED
