"""Place a hard corridor: its own slice, both directions on one fibre route: one more adjacency of its two routers."""

from __future__ import annotations

from controller.core import srv6
from controller.core.errors import Infeasible
from controller.core.graph import Objective
from controller.core.model import Corridor, Leg, Protection, Slice, SliceRole
from controller.core.placement.draft import Draft, Lists
from controller.core.placement.protected import protected
from controller.core.placement.refusals import no_route
from controller.core.placement.routes import HardRoutes, Lane
from controller.core.placement.sizing import Size, packet_bytes
from controller.core.records import adjacency_ids, slice_id_key
from controller.core.segments.locators import sids_of
from controller.core.segments.sids import Sids


def place_hard(draft: Draft, corridor: Corridor, vrf: int) -> tuple[Leg, tuple[int, ...], tuple[int, ...]]:
    """(leg, direction per fibre of the working route, of no backup: a second slice is its protection).

    Keeps standing routes and slices where they serve.
    """
    _require_clients(draft, corridor)
    draft.require_ends(corridor, packet_bytes(corridor))
    routes = HardRoutes(draft, corridor)
    found = protected(routes) if corridor.protection is Protection.PROTECT else routes.single()
    if found is None:
        raise no_route(routes)
    size, lanes = found
    parts = tuple(_slice(draft, corridor, size, lane, role) for lane, role in zip(lanes, SliceRole, strict=False))
    routers = (corridor.a_end.node, corridor.z_end.node)
    for router in routers:
        for key in adjacency_ids(router, parts[0].id):
            draft.assign(key)
    sids = sids_of(draft.topology, draft.ids)
    lists = _list(draft, sids, routers[1], vrf), _list(draft, sids, routers[0], vrf)
    other = lanes[1].route.path if len(lanes) > 1 else None
    route = lanes[0].route
    leg = draft.leg(corridor, routers, route, lists, parts, size.serialisation_us, other)
    return leg, route.path.directions, ()


def _require_clients(draft: Draft, corridor: Corridor) -> None:
    """Both routers answer and are wired to their OTN nodes: otherwise there is nothing to hang a slice on."""
    for end in (corridor.a_end, corridor.z_end):
        link = draft.topology.client_links[end.node]
        if not draft.topology.usable(link):
            raise Infeasible(
                f"{end.node} is not reached through {link.name}", reason="NO_PATH", metadata={"links": link.name}
            )


def _slice(draft: Draft, corridor: Corridor, size: Size, lane: Lane, role: SliceRole) -> Slice:
    old = lane.standing
    number = old.id if old else _new_slice_id(draft, corridor)
    state = {"resize_state": old.resize_state} if old else {}
    return Slice(number, size.container, size.claimed, size.active, lane.hops, role, lane.opened, **state)


def _new_slice_id(draft: Draft, corridor: Corridor) -> int:
    value = draft.ids.lowest("slice", "", draft.now)
    draft.ids = draft.ids.bind(slice_id_key(corridor.name, value), value)
    return value


def _list(draft: Draft, sids: Sids, tail: str, vrf: int) -> Lists:
    """The slice leads to the tail itself: there is only to decapsulate."""
    ends = [sids.end(Objective.IGP, each) for each in draft.tails(tail, vrf)]
    six, four = (srv6.segment_list(sids.block, [end], 1) for end in ends if end)
    return six, four
