"""Trails and slices as TE tunnels: routes with their labels hop by hop, both ways, working and protection.

A path's explicit route has all slots that are reserved; the actual route of its LSP has those that carry traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.core.fgotn_view.names import BANDWIDTH_STATES, SWITCHING, Json, odu_type, te_node_id
from controller.core.fgotn_view.routes import Route, back, included, recorded, route
from controller.core.fgotn_view.topology import te_topology_identifier
from controller.core.model import Container, Link, LinkKind, Slice, SliceRole, Stage, Status
from controller.core.otn import LINE, parse_slots, slot_bps
from controller.core.otn.containers import GFP_UNITS, narrowest
from controller.core.records import Placement, Record
from controller.core.slice_sizes import sizes
from controller.core.topology import Topology
from controller.core.trails import trail_slots

_LSP_ID = 0xFFFF
"""LSP ids have 16 bits."""


def tunnels(topology: Topology, records: Mapping[str, Record]) -> Json:
    """`ietf-te:te` with one tunnel per trail and per corridor that has slices, and an LSP for each slice."""
    found = [
        _trail(topology, link)
        for link in sorted(topology.of_kind(LinkKind.ADJACENCY), key=lambda each: each.name)
        if link.trail and link.status is not Status.UNPLANNED
    ]
    lsps: list[Json] = []
    for record in (record for _, record in sorted(records.items()) if _placements(record)):
        found.append(_corridor(topology, record))
        lsps.extend(_lsps(topology, record))
    return {"ietf-te:te": {"tunnels": {"tunnel": found}, "lsps": {"lsp": lsps}}}


def _placements(record: Record) -> list[tuple[str, Placement]]:
    """(suffix, placement) of what has slices: first where traffic is at this stage, then what was or will be."""
    build = record.stage is Stage.BUILD
    first, other = (record.current, record.target) if build else (record.target, record.current)
    ways = [way for way in dict.fromkeys((first, other)) if way in record.placements and way.leg.slices]
    if len(ways) == 2 and ways[0].leg.slices == ways[1].leg.slices:
        ways.pop()
    return list(zip(("", "-next" if build else "-previous"), ways, strict=False))


def _ends(topology: Topology, routers: tuple[str, str]) -> Json:
    source, destination = (te_node_id(topology.nodes[topology.otn_of(router)]) for router in routers)
    return {"source": source, "destination": destination}


def _tunnel(topology: Topology, name: str, identifier: int, routers: tuple[str, str], bandwidth: Json) -> Json:
    return {
        "name": name,
        "identifier": identifier,
        "encoding": SWITCHING["encoding"],
        "switching-type": SWITCHING["switching-capability"],
        **_ends(topology, routers),
        "bidirectional": True,
        "te-topology-identifier": te_topology_identifier(topology),
        "te-bandwidth": {"ietf-otn-tunnel:otn-bandwidth": bandwidth},
    }


def _trail(topology: Topology, trail: Link) -> Json:
    """An ODUk tunnel: what carries an IP adjacency."""
    legs = [(fibre, LINE, slots) for fibre, slots in trail_slots(topology, trail)]
    there = route(topology, topology.otn_of(trail.a_node), legs)
    bandwidth = {"odu-type": odu_type(trail.container)}
    tunnel = _tunnel(topology, trail.name, trail.slice_id, (trail.a_node, trail.z_node), bandwidth)
    return tunnel | {"primary-paths": {"primary-path": [_primary(topology, "working", there)]}}


def _primary(topology: Topology, name: str, there: Route) -> Json:
    reverse = {"name": f"{name}-reverse", **included(back(topology, there))}
    return {"name": name, **included(there), "primary-reverse-path": reverse}


def _corridor(topology: Topology, record: Record) -> Json:
    placements = _placements(record)
    _, carrying = placements[0]
    part = _working(carrying)
    routers = carrying.a_end.node, carrying.z_end.node
    tunnel = _tunnel(topology, record.name, part.id, routers, _bandwidth(topology, part, sizes(record)[part.id]))
    primary, secondary, reverse = list[Json](), list[Json](), list[Json]()
    for suffix, placement, each in _slices(placements):
        there = _reserved(topology, placement, each)
        if each.role is SliceRole.WORKING:
            primary.append(_primary(topology, f"working{suffix}", there))
        else:
            secondary.append({"name": f"protection{suffix}", **included(there)})
            reverse.append({"name": f"protection{suffix}-reverse", **included(back(topology, there))})
    tunnel["primary-paths"] = {"primary-path": primary}
    if secondary:
        tunnel["protection"] = {"enable": True, "protection-type": "ietf-te-types:lsp-protection-1-for-1"}
        tunnel["secondary-paths"] = {"secondary-path": secondary}
        tunnel["secondary-reverse-paths"] = {"secondary-reverse-path": reverse}
    return tunnel


def _working(placement: Placement) -> Slice:
    return next(part for part in placement.leg.slices if part.role is SliceRole.WORKING)


def _slices(placements: list[tuple[str, Placement]]) -> Iterator[tuple[str, Placement, Slice]]:
    for suffix, placement in placements:
        for part in placement.leg.slices:
            yield suffix, placement, part


def _bandwidth(topology: Topology, part: Slice, active: int) -> Json:
    """What `active` slots carry: of an fgODUflex in Mbit/s of Ethernet, of an ODUflex(GFP, n, k) in n and k."""
    kind = {"odu-type": odu_type(part.container)}
    if part.container is Container.FGODUFLEX:
        bps = active * slot_bps(part.container)
        return kind | {"ietf-fgotn-tunnel:fgoduflex-bandwidth": f"{bps // 1_000_000}.{bps % 1_000_000:06}"}
    k, units = GFP_UNITS[narrowest(topology.links[hop.link].line for hop in part.hops)]
    return kind | {"gfp-n": active * units, "gfp-k": k.removeprefix("ODU")}


def _reserved(topology: Topology, placement: Placement, part: Slice, most: int | None = None) -> Route:
    """With all its slots, or the first `most`."""
    legs = [(hop.link, hop.server, parse_slots(hop.slots)[:most]) for hop in part.hops]
    return route(topology, topology.otn_of(placement.a_end.node), legs)


def _lsps(topology: Topology, record: Record) -> Iterator[Json]:
    """One per slice, with the state of its last change of size: a member of ours, as the draft only names states."""
    public = {part.id: part for leg in record.corridor.legs for part in leg.slices}
    active = sizes(record)
    for part, placement in _largest(record).values():
        ends = _ends(topology, (placement.a_end.node, placement.z_end.node))
        state = BANDWIDTH_STATES.get(public.get(part.id, part).resize_state)
        yield {
            "tunnel-name": record.name,
            "lsp-id": part.id & _LSP_ID,
            "node": ends["source"],
            **ends,
            "operational-state": f"ietf-te-types:{_state(topology, record, part)}",
            "lsp-protection-role": part.role.lower(),
            **({"corridor-otn:bandwidth-state": state} if state else {}),
            **recorded(_reserved(topology, placement, part, active[part.id])),
        }


def _largest(record: Record) -> dict[int, tuple[Slice, Placement]]:
    """Each slice by id, as the placement has it that reserves the most for it: that one has all slots in use."""
    found: dict[int, tuple[Slice, Placement]] = {}
    for _, placement, part in _slices(_placements(record)):
        if part.id not in found or part.claimed_slots > found[part.id][0].claimed_slots:
            found[part.id] = part, placement
    return found


def _state(topology: Topology, record: Record, part: Slice) -> str:
    if record.unborn:
        return "lsp-state-setting-up"
    if record.target is None:
        return "lsp-state-tearing-down"
    up = all(topology.links[hop.link].status is Status.UP for hop in part.hops)
    return "lsp-state-up" if up else "lsp-state-down"
