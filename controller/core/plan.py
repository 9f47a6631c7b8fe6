"""Plan: from a corridor and a snapshot of the network to what shall stand, or to a refusal that says why.

Pure: the plan is applied elsewhere, in one store transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from controller.core.admission import active, completed, reverse_of, validate
from controller.core.conditions import ConditionType, without_condition
from controller.core.distinct import canonical, require_distinct
from controller.core.errors import FailedPrecondition, Infeasible
from controller.core.ids import Ids
from controller.core.maintenance import DRAINED, refusal, require_ends_in_use, stood_on
from controller.core.model import Corridor, Isolation, Leg, PathConstraints, Stage
from controller.core.neighbors import require_neighbors
from controller.core.otn import Claim, Ledger, RowKey, wire_kbps
from controller.core.placement.draft import Draft
from controller.core.placement.hard import place_hard
from controller.core.placement.soft import place_soft
from controller.core.placement.soft_routes import claimed_kbps
from controller.core.placement.watching import assign_watch
from controller.core.promises import Recovery
from controller.core.records import Placement, Record, claims_of, overheads, own_ids
from controller.core.snapshot import Snapshot


@dataclass(frozen=True)
class Plan:
    """One atomic change: the record before and after it, and the ledger and ids that go with it."""

    before: Record | None
    record: Record
    ledger: Ledger
    ids: Ids

    @cached_property
    def rows(self) -> frozenset[RowKey]:
        """Of the ledger, those that it may have changed."""
        held = (claims_of(record) for record in (self.before, self.record) if record is not None)
        return frozenset(claim.row for claims in held for claim in claims)


def plan(snapshot: Snapshot, corridor: Corridor, request: str = "", *, explains: bool = True) -> Plan:
    """A new corridor, or a change of a settled one. Raises `Invalid` or `Infeasible`; touches nothing.

    `request` is kept in the record of a new corridor. `explains`: whether anybody reads the refusal, which costs.
    """
    corridor = completed(corridor, snapshot.topology)
    before = snapshot.records.get(corridor.name)
    validate(corridor, snapshot.topology, before.corridor.path_constraints if before else PathConstraints())
    require_distinct(corridor, snapshot.records.values())
    require_ends_in_use(corridor, snapshot.topology, before.target if before else None)
    _require_settled(before)
    require_neighbors(corridor, snapshot.topology, before.target if before else None)
    try:
        return _planned(snapshot, before, corridor, request, explains)
    except Infeasible as found:
        raise _blamed(found, snapshot, corridor) if explains else found from None


def moved(snapshot: Snapshot, corridor: Corridor) -> Plan:
    """As `plan` of a settled corridor of which nothing else is asked than before, on another path if its own is lost.

    What was checked when it was asked for is not checked again, and a refusal says little: `plan` explains it.
    """
    before = snapshot.records[corridor.name]
    _require_settled(before)
    return _planned(snapshot, before, corridor, before.request, explains=False)


def _planned(snapshot: Snapshot, before: Record | None, corridor: Corridor, request: str, explains: bool) -> Plan:
    draft = Draft(snapshot, before, explains)
    target = _place(draft, corridor)
    public = without_condition(corridor, ConditionType.ROLLED_BACK)  # that was another change
    public = without_condition(public, ConditionType.REPAIRED)
    public = replace(public, vrf=target.vrf, legs=(target.leg,), stage=Stage.BUILD, reconciling=True)
    if before is None:
        record = Record(public, None, target, Stage.BUILD, request=request)
    else:
        record = Record(public, before.target, target, Stage.BUILD, before.corridor, before.request, before.leftovers)
    return _book(snapshot, before, record, draft.ids)


def interrupting(snapshot: Snapshot, corridor: Corridor) -> Plan:
    """As `plan` of a change, on the slots that the corridor itself holds: old and new never stand side by side.

    The old placement is taken away first, and everything is held until the new one stands (`Record.then`).
    """
    before = snapshot.records[corridor.name]
    _require_settled(before)
    alone = replace(before, target=None)
    ledger = snapshot.ledger.change(claims_of(before), claims_of(alone))
    rows = Plan(before, alone, ledger, snapshot.ids).rows
    layers = snapshot.layers.booked(snapshot.topology, ledger, rows)
    records = {name: record for name, record in snapshot.records.items() if record is not before}
    free = replace(snapshot, ledger=ledger, records=records, kept=layers)
    new = plan(free, replace(corridor, conditions=()), explains=False)
    public = replace(new.record.corridor, conditions=without_condition(corridor, ConditionType.ROLLED_BACK).conditions)
    record = Record(
        public, before.target, None, Stage.BUILD, before.corridor, before.request, before.leftovers, new.record.target
    )
    return _book(snapshot, before, record, new.ids)


def _blamed(found: Infeasible, snapshot: Snapshot, corridor: Corridor) -> Infeasible:
    """The refusal, naming what is kept free for maintenance where that alone stands in the way."""
    if not snapshot.topology.drained or found.reason == DRAINED:
        return found
    try:
        leading = plan(snapshot.lifted(snapshot.topology.drained), corridor, explains=False).record.target
    except Infeasible:
        return found
    assert leading is not None
    return refusal(snapshot.topology.drained & stood_on(snapshot.topology, leading), f"{found.message}; ")


def removal(snapshot: Snapshot, before: Record, corridor: Corridor) -> Plan:
    """The change that takes a corridor away; `corridor` is its public face while it goes."""
    if not before.unborn:  # which never carried anything: there is only to clean up
        _require_settled(before)
    stage = Stage.CLEAN if before.unborn else Stage.BUILD
    public = replace(corridor, stage=stage, reconciling=True)
    record = Record(public, before.target, None, stage, None, before.request, before.leftovers)
    return _book(snapshot, before, record, snapshot.ids)


def advance(snapshot: Snapshot, before: Record, after: Record) -> Plan:
    """A later stage, or a roll-back: what the record no longer holds is released."""
    return _book(snapshot, before, after, snapshot.ids)


def _require_settled(before: Record | None) -> None:
    """What stands is known only between changes."""
    if before is not None and before.stage is not Stage.SETTLED:
        raise FailedPrecondition(f"a change of {before.name} is under way", reason="CHANGE_UNDER_WAY")


def _book(snapshot: Snapshot, before: Record | None, record: Record, ids: Ids) -> Plan:
    held: frozenset[Claim] = claims_of(before) if before else frozenset()
    ledger = snapshot.ledger.change(held, claims_of(record))
    spent = (own_ids(before) if before else frozenset()) - own_ids(record)
    return Plan(before, record, ledger, ids.free(spent, snapshot.now))


def _place(draft: Draft, corridor: Corridor) -> Placement:
    vrf = draft.end_ids(corridor)
    place = place_hard if corridor.isolation is Isolation.HARD else place_soft
    leg, directions, backup_directions = place(draft, corridor, vrf)
    _require_latency(corridor, leg)
    profile, packet = active(corridor), corridor.reference_packet_bytes
    there, back = overheads(leg)
    assign_watch(draft, corridor, leg)
    return Placement(
        canonical(corridor.a_end),
        canonical(corridor.z_end),
        vrf,
        corridor.mtu_bytes,
        wire_kbps(profile.bandwidth_kbps, packet, there),
        wire_kbps(reverse_of(profile), packet, back),
        claimed_kbps(corridor, there)[0],
        claimed_kbps(corridor, back)[1],
        leg,
        directions,
        packet,
        backup_directions,
        corridor.recovery if leg.backup else Recovery(),
    )


def _require_latency(corridor: Corridor, leg: Leg) -> None:
    if corridor.max_latency_us and leg.latency_us > corridor.max_latency_us:
        terms = ", ".join(f"{term.name} {term.value_us}" for term in leg.latency)
        raise Infeasible(
            f"the fastest path with this bandwidth takes {leg.latency_us} µs one way ({terms}), "
            f"the bound is {corridor.max_latency_us} µs",
            reason="LATENCY_BOUND",
            metadata={"latencyUs": str(leg.latency_us), "boundUs": str(corridor.max_latency_us)},
        )
