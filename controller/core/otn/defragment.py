"""Defragmentation: free whole server ODUs by moving slices into others on their own routes, make-before-break."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.conditions import ConditionType, without_condition
from controller.core.errors import FailedPrecondition, Infeasible
from controller.core.maintenance import stood_on
from controller.core.model import ResizeState, Slice, SliceHop, Stage, State
from controller.core.otn import LINE, Ledger, RowKey, bitmap_of, format_slots, parse_slots, pick_slots
from controller.core.otn.moves import Defragmentation, FreedServer, ServerChange, SliceMove
from controller.core.otn.regrooming import Load, Relocation, Seat, regroom
from controller.core.otn.servers import opened_server
from controller.core.plan import Plan, advance
from controller.core.records import Placement, Record, adjacency_ids, slice_id_key
from controller.core.snapshot import Snapshot
from controller.core.topology import Topology


def defragment(snapshot: Snapshot, max_moves: int) -> Defragmentation:
    """Free as many server ODUs as moving `max_moves` corridors can, those first that give slots back to their line.

    Every corridor moves at most once, and only if it leaves a server that is freed; none goes into a server that is
    empty now. Settled hard corridors that are UP on fibres that are UP can move; what else holds a server keeps it.
    """
    loads = {record.name: _load(record) for record in snapshot.records.values() if _movable(snapshot.topology, record)}
    free, fixed = _room(snapshot.ledger, loads.values(), snapshot.records)
    back = {seat: opened.tributaries.bit_count() for seat in free if (opened := opened_server(seat[1]))}
    found = regroom(free, [loads[name] for name in sorted(loads)], fixed, max_moves, back)
    moves = tuple(_move(snapshot.records[each.load.corridor], each) for each in found.moves)
    freed = (_freed(snapshot.ledger, seat, found.moves) for seat in found.emptied)
    ranked = sorted(freed, key=lambda each: (each.after_moves, each.link, each.server))
    return Defragmentation(moves, tuple(ranked), found.exhaustive)


def moved(snapshot: Snapshot, move: SliceMove) -> Plan:
    """The change that makes one move, on the network as it is now; `Infeasible` where there is no room any more."""
    record = snapshot.records.get(move.corridor)
    if record is None or record.target is None or not _movable(snapshot.topology, record):
        raise FailedPrecondition(f"{move.corridor} is not settled and up any more", reason="WRONG_STATE")
    ids, slices = snapshot.ids, []
    for part in record.target.leg.slices:
        number = ids.lowest("slice", "", snapshot.now)
        ids = ids.bind(slice_id_key(record.name, number), number)
        for router in (record.target.a_end.node, record.target.z_end.node):
            for old, new in zip(adjacency_ids(router, part.id), adjacency_ids(router, number), strict=True):
                ids = ids.assign(new, snapshot.now) if old in ids.assigned else ids
        slices.append(_beside(snapshot.ledger, part, number, move))
    leg = replace(record.target.leg, slices=tuple(slices))
    public = without_condition(record.corridor, ConditionType.ROLLED_BACK)  # that was another change
    public = replace(public, legs=(leg,), stage=Stage.BUILD, reconciling=True)
    target = replace(record.target, leg=leg)
    change = replace(
        record, corridor=public, current=record.target, target=target, stage=Stage.BUILD, previous=record.corridor
    )
    return advance(replace(snapshot, ids=ids), record, change)


def require_worth(snapshot: Snapshot, plan: Defragmentation, number: int) -> None:
    """`FailedPrecondition` where the moves from `number` on no longer free what they were to."""
    moving = {move.corridor for move in plan.moves}
    strangers = [record for name, record in snapshot.records.items() if name not in moving]
    for server in plan.freed:
        if server.after_moves > number and any(_is_in(record, server) for record in strangers):
            raise FailedPrecondition(f"{server.server} of {server.link} is in use again", reason="NOT_WORTH_IT")


def _is_in(record: Record, server: FreedServer) -> bool:
    hops = (hop for placement in record.placements for hop in _hops(placement))
    return any((hop.link, hop.server) == (server.link, server.server) for hop in hops)


def is_empty(ledger: Ledger, server: FreedServer) -> bool:
    """Nothing is in it; one that was opened on demand is gone with the last slice."""
    keys = (RowKey(server.link, server.server, way) for way in (A_TO_Z, Z_TO_A))
    return not any(ledger.rows[key].bitmap for key in keys if key in ledger.rows)


def _movable(topology: Topology, record: Record) -> bool:
    placement = record.target
    if record.stage is not Stage.SETTLED or placement is None or record.corridor.state is not State.UP:
        return False
    hops = [hop for part in placement.leg.slices for hop in part.hops]
    clients = [topology.client_links[end.node] for end in (placement.a_end, placement.z_end)]
    up = all(topology.usable(link) for link in (*clients, *(topology.links[hop.link] for hop in hops)))
    in_use = topology.drained.isdisjoint(stood_on(topology, placement))  # nothing new on what is drained
    return up and in_use and bool(hops) and all(hop.server != LINE for hop in hops)


def _load(record: Record) -> Load:
    assert record.target is not None
    hops = ((part, hop) for part in record.target.leg.slices for hop in part.hops)
    return Load(record.name, tuple(((hop.link, hop.server), part.claimed_slots) for part, hop in hops))


def _room(
    ledger: Ledger, loads: Iterable[Load], records: Mapping[str, Record]
) -> tuple[dict[Seat, int], frozenset[Seat]]:
    """(slots left both ways in every server that holds something, those that hold what cannot move)."""
    known: dict[Seat, int] = {}
    for load in loads:
        for hop in _hops(records[load.corridor].target):
            seat = hop.link, hop.server
            known[seat] = known.get(seat, 0) | bitmap_of(parse_slots(hop.slots))
    free, fixed = {}, set()
    for key, there in ledger.rows.items():
        if key.server in ("", LINE) or key.direction != A_TO_Z:
            continue
        back, seat = ledger.row(RowKey(key.link, key.server, Z_TO_A)), (key.link, key.server)
        taken = there.bitmap | back.bitmap
        if taken:
            free[seat] = min(there.free_slots(), back.free_slots(), there.capacity - taken.bit_count())
        if taken != known.get(seat, 0):
            fixed.add(seat)
    return free, frozenset(fixed)


def _hops(placement: Placement | None) -> tuple[SliceHop, ...]:
    return tuple(hop for part in placement.leg.slices for hop in part.hops) if placement else ()


def _move(record: Record, relocation: Relocation) -> SliceMove:
    assert record.target is not None
    hops = ((part, hop) for part in record.target.leg.slices for hop in part.hops)
    changes = (
        ServerChange(part.id, part.role, hop.link, hop.server, server)
        for (part, hop), (_, server) in zip(hops, relocation.seats, strict=True)
        if server != hop.server
    )
    return SliceMove(record.name, tuple(changes))


def _freed(ledger: Ledger, seat: Seat, moves: tuple[Relocation, ...]) -> FreedServer:
    last = max(number for number, each in enumerate(moves, 1) if any(old == seat for old, _ in each.load.parts))
    return FreedServer(*seat, ledger.rows[RowKey(*seat, A_TO_Z)].capacity, last)


def _beside(ledger: Ledger, part: Slice, number: int, move: SliceMove) -> Slice:
    """A slice's successor: as large, on the same fibres, in slots that are free now."""
    going = {(each.slice_id, each.link): each for each in move.changes}
    hops = []
    for hop in part.hops:
        change = going.get((part.id, hop.link))
        if change is not None and change.from_server != hop.server:
            raise Infeasible(f"{move.corridor} has left {change.from_server} of {hop.link}", reason="SERVER_GONE")
        server = change.to_server if change else hop.server
        hops.append(SliceHop(hop.link, server, _slots(ledger, hop.link, server, part.claimed_slots)))
    return replace(part, id=number, hops=tuple(hops), opened_servers=0, resize_state=ResizeState.NEVER)


def _slots(ledger: Ledger, link: str, server: str, count: int) -> str:
    rows = [ledger.rows.get(RowKey(link, server, way)) for way in (A_TO_Z, Z_TO_A)]
    slots = pick_slots([row for row in rows if row is not None], count) if all(rows) else None
    if slots is None:
        raise Infeasible(
            f"{server} of {link} has no room for {count} slots any more", reason="NO_CAPACITY", metadata={"links": link}
        )
    return format_slots(slots)
