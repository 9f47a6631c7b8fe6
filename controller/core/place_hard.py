"""Place a hard corridor: its own slice, both directions on one fibre route: one more adjacency of its two routers."""

from __future__ import annotations

from controller.core import srv6
from controller.core.draft import Draft
from controller.core.errors import Infeasible
from controller.core.model import Corridor, Leg, Link, LinkKind, Reservation, Slice, SliceHop
from controller.core.otn import container_for, fgts_for, format_slots, parse_slots, pick_slots, wire_kbps
from controller.core.paths import Path, chain, require_path
from controller.core.records import adjacency_ids, slice_id_key


def place_hard(draft: Draft, corridor: Corridor, vrf: int) -> tuple[Leg, tuple[int, ...]]:
    """(leg, direction per fibre). Keeps the standing path and slice where they serve: no move for a new size."""
    sizes = {p.name: _slots(corridor, p.bandwidth_kbps) for p in corridor.profiles}
    active = sizes[corridor.active_profile]
    claimed = max(sizes.values()) if corridor.reservation is Reservation.PEAK else active
    container = container_for(claimed)
    path = _route(draft, corridor, claimed)
    slice_id = _slice_id(draft, corridor, path)
    hops = tuple(_hop(draft, link, claimed, slice_id) for link in path.links)
    routers = (corridor.a_end.node, corridor.z_end.node)
    for router in routers:
        for key in adjacency_ids(router, slice_id):
            draft.assign(key)
    part = Slice(slice_id, container, claimed, active, hops)
    leg = draft.leg(corridor, vrf, routers, path, ((), ()), part, min(sizes.values()))
    return leg, path.directions(draft.topology)


def _slots(corridor: Corridor, kbps: int) -> int:
    return fgts_for(wire_kbps(kbps, corridor.reference_packet_bytes, srv6.overhead_bytes(1)))


def _route(draft: Draft, corridor: Corridor, slots: int) -> Path:
    topology = draft.topology
    source, target = (topology.otn_of(end.node) for end in (corridor.a_end, corridor.z_end))

    def usable(link: Link, _direction: int) -> bool:
        return link.kind is LinkKind.FIBRE and topology.usable(link)

    def fits(link: Link, direction: int) -> bool:
        return usable(link, direction) and _server(draft, link, slots, _standing_id(draft)) is not None

    standing = draft.standing
    if (
        standing
        and standing.slice
        and (standing.a_end.node, standing.z_end.node)
        == (
            corridor.a_end.node,
            corridor.z_end.node,
        )
    ):
        path = chain(topology, source, standing.leg.links)
        if all(fits(topology.links[name], 0) for name in path.links):
            return path
    return require_path(topology, source, target, usable, fits, f"{slots} fine-grain slots")


def _standing_id(draft: Draft) -> int:
    return draft.standing.slice.id if draft.standing and draft.standing.slice else 0


def _slice_id(draft: Draft, corridor: Corridor, path: Path) -> int:
    """The standing slice's where the path is the same, else a new one: both stand until CLEAN."""
    standing = draft.standing
    if standing and standing.slice and standing.leg.links == path.links:
        return standing.slice.id
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
