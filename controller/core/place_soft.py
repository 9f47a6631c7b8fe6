"""Place a soft corridor: a segment list over shared IP adjacencies, admitted against what is left of each."""

from __future__ import annotations

from itertools import pairwise

from controller.core import names, srv6
from controller.core.admission import active, peak, reverse_of
from controller.core.draft import Draft, Steering
from controller.core.errors import Infeasible
from controller.core.graph import Graph
from controller.core.latency import delay_left
from controller.core.model import Corridor, Leg, LinkKind, Reservation
from controller.core.otn import wire_kbps
from controller.core.path_constraints import search_constraints
from controller.core.paths import Constraints, Path, Terms, follow, holds, keeps, require
from controller.core.records import adjacency_ids


def place_soft(draft: Draft, corridor: Corridor, vrf: int) -> tuple[Leg, tuple[int, ...]]:
    """(leg, direction per adjacency). A longer list adds overhead, which may need another path: one round more each."""
    for carriers in range(1, draft.topology.nodes[corridor.a_end.node].capabilities.max_carriers + 1):
        overhead = srv6.overhead_bytes(carriers)
        path = _route(draft, corridor, overhead)
        leg = draft.leg(corridor, vrf, path.nodes, path, steering(draft, path), None, None)
        if max(leg.forward.overhead_bytes, leg.reverse.overhead_bytes) <= overhead:
            _require_one_path(draft, leg)
            return leg, path.directions
    raise Infeasible("no path whose list the headend can impose", reason="SEGMENT_LIST_TOO_LONG")


def claimed_kbps(corridor: Corridor, overhead: int) -> tuple[int, int]:
    """(A to Z, Z to A) wire rates that the ledger holds."""
    rates = peak(corridor) if corridor.reservation is Reservation.PEAK else active(corridor)
    packet = corridor.reference_packet_bytes
    return wire_kbps(rates.bandwidth_kbps, packet, overhead), wire_kbps(reverse_of(rates), packet, overhead)


def _route(draft: Draft, corridor: Corridor, overhead: int) -> Path:
    forward, reverse = claimed_kbps(corridor, overhead)
    size = corridor.mtu_bytes + overhead
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
    kept = _standing_route(draft, corridor, graph, constraints)
    return kept or require(
        graph, *ends, constraints, Terms("kbit/s", fixed, corridor.max_latency_us), corridor.path_constraints.objective
    )


def _standing_route(draft: Draft, corridor: Corridor, graph: Graph, constraints: Constraints) -> Path | None:
    """The path it is on, where that still serves: a new bandwidth is no reason to move."""
    standing, ends = draft.standing, (corridor.a_end.node, corridor.z_end.node)
    if standing is None or standing.slice is not None or (standing.a_end.node, standing.z_end.node) != ends:
        return None
    path = follow(graph, corridor.a_end.node, standing.leg.links)
    return path if holds(graph, path, constraints) and keeps(graph, path, constraints) else None


def steering(draft: Draft, path: Path) -> tuple[Steering, Steering]:
    """uA of each hop but the first, there and back: the first hop is the policy's next hop."""
    hops = list(zip(pairwise(path.nodes), path.links, strict=True))
    forward = tuple(_ua(draft, u, link, v) for (u, v), link in hops[1:])
    reverse = tuple(_ua(draft, v, link, u) for (u, v), link in reversed(hops[:-1]))
    return forward, reverse


def _ua(draft: Draft, router: str, link: str, towards: str) -> srv6.Segment:
    function = draft.ids[adjacency_ids(router, draft.topology.links[link].slice_id)[1]]
    text = f"{names.short(router)}→{names.short(towards)}"
    return srv6.adjacency(draft.topology.nodes[router].node_id, function, text)


def _require_one_path(draft: Draft, leg: Leg) -> None:
    """Walk both lists over what the adjacencies really are: exactly the planned path, or not admitted."""
    block, ids = draft.topology.srv6_block, [draft.topology.nodes[name].node_id for name in leg.nodes]
    wired = adjacency_map(draft)
    for lists, expected in (((leg.forward, leg.forward_ipv4), ids), ((leg.reverse, leg.reverse_ipv4), ids[::-1])):
        for each in lists:
            visited, _ = srv6.expand(block, each.carriers, expected[1], wired)
            if list(visited) != expected[1:]:
                raise Infeasible("the segment list leaves its path", reason="LIST_LEAVES_PATH")


def adjacency_map(draft: Draft) -> dict[tuple[int, int], int]:
    """(node id, uA id) to the neighbour's node id, for every adjacency of the domain."""
    wired: dict[tuple[int, int], int] = {}
    for link in draft.topology.of_kind(LinkKind.ADJACENCY):
        for here, there in ((link.a_node, link.z_node), (link.z_node, link.a_node)):
            key = adjacency_ids(here, link.slice_id)[1]
            if key in draft.ids.assigned:
                wired[draft.topology.nodes[here].node_id, draft.ids[key]] = draft.topology.nodes[there].node_id
    return wired
