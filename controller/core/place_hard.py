"""Place a hard corridor: its own slice, both directions on one fibre route: one more adjacency of its two routers."""

from __future__ import annotations

from dataclasses import replace

from controller.core import srv6
from controller.core.draft import Draft, Lists
from controller.core.errors import Infeasible
from controller.core.graph import Objective
from controller.core.latency import delay_left
from controller.core.model import Corridor, Leg, Link, Reservation, Slice, SliceHop
from controller.core.otn import (
    container_for,
    fgts_for,
    format_slots,
    parse_slots,
    pick_slots,
    serialisation_us,
    wire_kbps,
)
from controller.core.path_constraints import search_constraints
from controller.core.paths import Constraints, Method, Path, Route, Terms, follow, holds, keeps, require
from controller.core.records import adjacency_ids, slice_id_key
from controller.core.segments.locators import sids_of
from controller.core.segments.sids import Sids


def place_hard(draft: Draft, corridor: Corridor, vrf: int) -> tuple[Leg, tuple[int, ...]]:
    """(leg, direction per fibre). Keeps the standing path and slice where they serve: no move for a new size."""
    sizes = {p.name: _slots(corridor, p.bandwidth_kbps) for p in corridor.profiles}
    active = sizes[corridor.active_profile]
    claimed = max(sizes.values()) if corridor.reservation is Reservation.PEAK else active
    container = container_for(claimed)
    _require_clients(draft, corridor)

    def leg_over(route: Route, slice_id: int) -> Leg:
        hops = tuple(_hop(draft, link, claimed, slice_id) for link in route.path.links)
        routers = (corridor.a_end.node, corridor.z_end.node)
        for router in routers:
            for key in adjacency_ids(router, slice_id):
                draft.assign(key)
        part = Slice(slice_id, container, claimed, active, hops)
        sids = sids_of(draft.topology, draft.ids)
        lists = _list(draft, sids, routers[1], vrf), _list(draft, sids, routers[0], vrf)
        return draft.leg(corridor, routers, route, lists, part, min(sizes.values()))

    fixed = _fixed_us(draft, corridor, min(sizes.values()))
    constraints = _constraints(draft, corridor, claimed, fixed)
    kept = _kept_path(draft, corridor, claimed, constraints)
    if kept is not None:
        return leg_over(Route(kept, 0, Method.KEPT), _standing_id(draft)), kept.directions
    route = _new_route(draft, corridor, constraints, fixed)
    return leg_over(route, _new_slice_id(draft, corridor)), route.path.directions


def _list(draft: Draft, sids: Sids, tail: str, vrf: int) -> Lists:
    """The slice leads to the tail itself: there is only to decapsulate."""
    ends = [sids.end(Objective.IGP, each) for each in draft.tails(tail, vrf)]
    six, four = (srv6.segment_list(sids.block, [end], 1) for end in ends if end)
    return six, four


def _slots(corridor: Corridor, kbps: int) -> int:
    return fgts_for(wire_kbps(kbps, corridor.reference_packet_bytes, srv6.overhead_bytes(1)))


def _require_clients(draft: Draft, corridor: Corridor) -> None:
    """Both routers answer and are wired to their OTN nodes: otherwise there is nothing to hang a slice on."""
    for end in (corridor.a_end, corridor.z_end):
        link = draft.topology.client_links[end.node]
        if not draft.topology.usable(link):
            raise Infeasible(
                f"{end.node} is not reached through {link.name}", reason="NO_PATH", metadata={"links": link.name}
            )


def _packet(corridor: Corridor) -> int:
    return corridor.mtu_bytes + srv6.overhead_bytes(1)


def _fixed_us(draft: Draft, corridor: Corridor, thinnest: int) -> int:
    """Of its latency, what is the same on every path: the nodes at both ends, and clocking into the thinnest slice."""
    ends = (corridor.a_end.node, corridor.z_end.node, *_otn_ends(draft, corridor))
    nodes = sum(draft.topology.nodes[end].processing_us for end in ends)
    return nodes + serialisation_us(_packet(corridor), thinnest)


def _constraints(draft: Draft, corridor: Corridor, slots: int, fixed: int) -> Constraints:
    """Of a slice of its own beside all that stands, this corridor's old one included: both stand until CLEAN."""
    return search_constraints(
        corridor,
        draft.topology,
        demand=slots,
        reverse_demand=0,  # the room of a fibre is what is free both ways
        mtu_bytes=_packet(corridor),
        max_delay_us=delay_left(corridor, fixed),
    )


def _otn_ends(draft: Draft, corridor: Corridor) -> tuple[str, str]:
    return draft.topology.otn_of(corridor.a_end.node), draft.topology.otn_of(corridor.z_end.node)


def _kept_path(draft: Draft, corridor: Corridor, slots: int, constraints: Constraints) -> Path | None:
    """The standing path where the slice has room to stay on it: a slot number means nothing in another server."""
    standing, graph = draft.standing, draft.layers.optical
    if standing is None or standing.slice is None:
        return None
    if (standing.a_end.node, standing.z_end.node) != (corridor.a_end.node, corridor.z_end.node):
        return None
    hops, number = standing.slice.hops, standing.slice.id
    path = follow(graph, draft.topology.otn_of(corridor.a_end.node), standing.leg.links)
    serves = holds(graph, path, replace(constraints, demand=0)) and keeps(graph, path, constraints)
    return path if serves and all(_pick(draft, hop.link, hop.server, slots, number) for hop in hops) else None


def _new_route(draft: Draft, corridor: Corridor, constraints: Constraints, fixed: int) -> Route:
    ends, objective = _otn_ends(draft, corridor), corridor.path_constraints.objective
    terms = Terms("fine-grain slots", fixed, corridor.max_latency_us)
    return require(draft.layers.optical, *ends, constraints, terms, objective, explained=draft.explains)


def _standing_id(draft: Draft) -> int:
    return draft.standing.slice.id if draft.standing and draft.standing.slice else 0


def _new_slice_id(draft: Draft, corridor: Corridor) -> int:
    value = draft.ids.lowest("slice", "", draft.now)
    draft.ids = draft.ids.bind(slice_id_key(corridor.name, value), value)
    return value


def _kept(draft: Draft, link: str, server: str, slice_id: int) -> tuple[int, ...]:
    """Slots that the slice already has in a server; a moved slice has none: old and new both hold theirs."""
    if not slice_id or _standing_id(draft) != slice_id or not draft.standing or not draft.standing.slice:
        return ()
    hops = draft.standing.slice.hops
    return next((parse_slots(hop.slots) for hop in hops if (hop.link, hop.server) == (link, server)), ())


def _pick(draft: Draft, link: str, server: str, count: int, slice_id: int) -> tuple[int, ...] | None:
    rows = (draft.row(link, server, 0), draft.row(link, server, 1))
    return pick_slots(rows, count, _kept(draft, link, server, slice_id))


def _server(draft: Draft, link: Link, count: int, slice_id: int) -> str | None:
    """The server ODU with room both ways: the slice's own, else the fullest, so that whole servers stay free."""
    fitting = [s.name for s in link.servers if _pick(draft, link.name, s.name, count, slice_id)]
    own = [name for name in fitting if _kept(draft, link.name, name, slice_id)]
    ranked = own or sorted(fitting, key=lambda name: (draft.row(link.name, name, 0).free_slots(), name))
    return ranked[0] if ranked else None


def _hop(draft: Draft, link: str, count: int, slice_id: int) -> SliceHop:
    server = _server(draft, draft.topology.links[link], count, slice_id)
    numbers = _pick(draft, link, server, count, slice_id) if server else None
    if server is None or numbers is None:
        raise Infeasible(
            f"{link} cannot hold the old and the new slots at once", reason="NO_CAPACITY", metadata={"links": link}
        )
    return SliceHop(link, server, format_slots(numbers))
