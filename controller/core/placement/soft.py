"""Place a soft corridor: segment lists over shared IP adjacencies, admitted against what is left of each."""

from __future__ import annotations

from dataclasses import replace

from controller.core import srv6
from controller.core.errors import Infeasible
from controller.core.model import BackupPath, Corridor, Leg, Protection
from controller.core.paths import Path, Route, follow
from controller.core.placement.draft import Draft, Lists
from controller.core.placement.soft_protected import protected
from controller.core.placement.soft_routes import SoftRoutes
from controller.core.records import overheads

Directions = tuple[int, ...]
"""Per link of a path, 0 where it is used from its A end to its Z end, else 1."""


def place_soft(draft: Draft, corridor: Corridor, vrf: int) -> tuple[Leg, Directions, Directions]:
    """(leg, directions of its path, and of its backup), each path with lists of its own.

    A longer list adds overhead, which may need another path: one round more each.
    """
    for carriers in range(1, draft.topology.nodes[corridor.a_end.node].capabilities.max_carriers + 1):
        overhead = srv6.overhead_bytes(carriers)
        routes = SoftRoutes.of(draft, corridor, overhead)
        first, second = protected(routes) if corridor.protection is Protection.PROTECT else (routes.single(), None)
        leg = _leg(draft, corridor, first, vrf)
        if second is not None:
            leg = _with_backup(leg, _leg(draft, corridor, second, vrf))
        if max(overheads(leg)) <= overhead:
            return leg, first.path.directions, second.path.directions if second else ()
    raise Infeasible("no path whose list the headend can impose", reason="SEGMENT_LIST_TOO_LONG")


def _leg(draft: Draft, corridor: Corridor, route: Route, vrf: int) -> Leg:
    return draft.leg(corridor, route.path.nodes, route, _lists(draft, route.path, vrf))


def _with_backup(leg: Leg, other: Leg) -> Leg:
    """The slower of both says how long it takes: traffic may be on either."""
    lists = (other.forward, other.forward_ipv4, other.reverse, other.reverse_ipv4)
    backup = BackupPath(other.nodes, other.links, *lists, other.latency_us)
    slower = max(leg, other, key=lambda each: each.latency_us)
    return replace(leg, backup=backup, latency=slower.latency, latency_us=slower.latency_us)


def _lists(draft: Draft, path: Path, vrf: int) -> tuple[Lists, Lists]:
    """There and back, each proved to keep to the path whatever equal ways the routes offer."""
    graph, z = draft.layers.packet, path.nodes[-1]
    ways = (path, follow(graph, z, path.links[::-1]))
    there, back = (
        tuple(draft.encoder.encode(way, tail).segments for tail in draft.tails(way.nodes[-1], vrf)) for way in ways
    )
    return (there[0], there[1]), (back[0], back[1])
