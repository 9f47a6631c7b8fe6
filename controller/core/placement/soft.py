"""Place a soft corridor: a segment list over shared IP adjacencies, admitted against what is left of each."""

from __future__ import annotations

from dataclasses import replace

from controller.core import srv6
from controller.core.admission import active, peak, reverse_of
from controller.core.errors import Infeasible
from controller.core.graph import Graph
from controller.core.latency import delay_left
from controller.core.model import Corridor, Leg, Reservation
from controller.core.otn import wire_kbps
from controller.core.path_constraints import search_constraints
from controller.core.paths import Constraints, Method, Path, Route, Terms, find, follow, holds, keeps, require
from controller.core.placement.draft import Draft, Lists
from controller.core.segments.encoding import encode
from controller.core.segments.locators import sids_of


def place_soft(draft: Draft, corridor: Corridor, vrf: int) -> tuple[Leg, tuple[int, ...]]:
    """(leg, direction per adjacency). A longer list adds overhead, which may need another path: one round more each."""
    for carriers in range(1, draft.topology.nodes[corridor.a_end.node].capabilities.max_carriers + 1):
        overhead = srv6.overhead_bytes(carriers)
        route = _route(draft, corridor, overhead)
        path = route.path
        leg = draft.leg(corridor, path.nodes, route, _lists(draft, path, vrf))
        if max(leg.forward.overhead_bytes, leg.reverse.overhead_bytes) <= overhead:
            return leg, path.directions
    raise Infeasible("no path whose list the headend can impose", reason="SEGMENT_LIST_TOO_LONG")


def claimed_kbps(corridor: Corridor, overhead: int) -> tuple[int, int]:
    """(A to Z, Z to A) wire rates that the ledger holds."""
    rates = peak(corridor) if corridor.reservation is Reservation.PEAK else active(corridor)
    packet = corridor.reference_packet_bytes
    return wire_kbps(rates.bandwidth_kbps, packet, overhead), wire_kbps(reverse_of(rates), packet, overhead)


def _route(draft: Draft, corridor: Corridor, overhead: int) -> Route:
    forward, reverse = claimed_kbps(corridor, overhead)
    size = corridor.mtu_bytes + overhead
    draft.require_ends(corridor, size)
    narrow = draft.narrow(corridor, size)
    graph = draft.adjacencies().clocked(size)
    ends = (corridor.a_end.node, corridor.z_end.node)
    fixed = sum(draft.topology.nodes[end].processing_us for end in ends)
    constraints = search_constraints(
        corridor,
        draft.topology,
        demand=forward,
        reverse_demand=reverse,
        mtu_bytes=size,
        max_delay_us=delay_left(corridor, fixed),
    )
    if asked := constraints.include_nodes & narrow:
        raise draft.too_narrow(sorted(asked), size)
    wide = replace(constraints, exclude_nodes=constraints.exclude_nodes | narrow)
    kept = _standing_route(draft, corridor, graph, wide)
    terms, objective = Terms("kbit/s", fixed, corridor.max_latency_us), corridor.path_constraints.objective
    try:
        return kept or require(graph, *ends, wide, terms, objective, explained=draft.explains)
    except Infeasible:
        if draft.explains and narrow and (other := find(graph, *ends, constraints, objective)) is not None:
            raise draft.too_narrow((name for name in other.path.nodes if name in narrow), size) from None
        raise


def _standing_route(draft: Draft, corridor: Corridor, graph: Graph, constraints: Constraints) -> Route | None:
    """The path it is on, where that still serves: a new bandwidth is no reason to move."""
    standing, ends = draft.standing, (corridor.a_end.node, corridor.z_end.node)
    if standing is None or standing.slice is not None or (standing.a_end.node, standing.z_end.node) != ends:
        return None
    path = follow(graph, corridor.a_end.node, standing.leg.links)
    serves = holds(graph, path, constraints) and keeps(graph, path, constraints)
    return Route(path, 0, Method.KEPT) if serves else None


def _lists(draft: Draft, path: Path, vrf: int) -> tuple[Lists, Lists]:
    """There and back, each proved to keep to the path whatever equal ways the routes offer."""
    sids = sids_of(draft.topology, draft.ids)
    graph, z = draft.layers.packet, path.nodes[-1]
    ways = (path, follow(graph, z, path.links[::-1]))
    there, back = (
        tuple(encode(way, tail, sids, draft.underlays).segments for tail in draft.tails(way.nodes[-1], vrf))
        for way in ways
    )
    return (there[0], there[1]), (back[0], back[1])
