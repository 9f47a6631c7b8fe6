"""Whether a change can be made without losing a packet, and what a change of path does to the order of packets.

A change is made before it breaks: both states stand side by side while the headends turn to the new one, and nothing of
the old goes before what was sent over it has arrived. What that cannot save is named here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from ipaddress import collapse_addresses, ip_network

from controller.core.admission import active, reverse_of
from controller.core.conditions import ConditionType
from controller.core.errors import FailedPrecondition, Infeasible, Refused
from controller.core.model import Corridor, EndPoint, Isolation, Leg, Slice, State
from controller.core.plan import Plan, interrupting, plan
from controller.core.promises import Move, Reordering
from controller.core.protection import Service, service_of
from controller.core.records import Placement, Record
from controller.core.snapshot import Snapshot
from controller.core.topology import Topology, other_end

NEEDS_INTERRUPTION = "NEEDS_INTERRUPTION"


class Occasion(StrEnum):
    """Why a corridor changes its path."""

    OWNER = "OWNER"
    RESTORED = "RESTORED"
    """A failure took the path or its protection; needs nobody's consent."""
    REVERTED = "REVERTED"
    DRAINED = "DRAINED"
    DEFRAGMENTED = "DEFRAGMENTED"


class Loss(StrEnum):
    """What a change loses."""

    ENDS = "ENDS"
    """Traffic of an end that is one no more: another router or port."""
    PREFIXES = "PREFIXES"
    """Traffic of prefixes that it carries no more."""
    DSCP = "DSCP"
    """Traffic of code points that it carries no more."""
    MTU = "MTU"
    """Packets that are too large for it now."""
    REORDERING = "REORDERING"
    """No packet, but their order, which `reordering` forbids."""
    BREAK_BEFORE_MAKE = "BREAK_BEFORE_MAKE"
    """All that is sent while the old path gives way to the new, which needs its slots."""
    PATH_DEAD = "PATH_DEAD"
    """What the path lost that was dead before: nothing by the change itself."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why a change is not hitless."""

    loss: Loss
    message: str
    """What is lost, for people."""


def interruption(topology: Topology, change: Plan) -> Interruption | None:
    """What a change of a corridor loses; None where it loses nothing. A new corridor has nothing to lose."""
    before, after = change.before, change.record
    old = before.target if before else None
    if before is None or old is None:
        return None
    if is_dead(topology, before):
        return Interruption(Loss.PATH_DEAD, "nothing was carried any more")
    if after.then is not None:
        message = "old and new slice do not fit beside each other: nothing is carried between them"
        return Interruption(Loss.BREAK_BEFORE_MAKE, message)
    new = after.target
    if new is None:
        return None  # it is taken away
    return next(_narrowed(old, new), None) or _forbidden(topology, before, after.corridor, new)


def plan_anew(snapshot: Snapshot, corridor: Corridor) -> Plan:
    """As `plan` of a change; by way of an interruption where a slice fits on the slots of the old one alone."""
    try:
        return plan(snapshot, corridor)
    except Infeasible:
        if corridor.isolation is Isolation.HARD:
            with suppress(Refused):
                return interrupting(snapshot, corridor)
        raise


def is_dead(topology: Topology, record: Record) -> bool:
    """Nothing carries it."""
    if record.corridor.state is State.DOWN or record.target is None:
        return True
    return service_of(topology, record.corridor, record.target) is Service.LOST


def require_consent(topology: Topology, change: Plan, occasion: Occasion) -> None:
    """`FailedPrecondition` where a change loses what its owner did not give up. Restoration asks nobody."""
    found = interruption(topology, change)
    if found is None or found.loss is Loss.PATH_DEAD or occasion is Occasion.RESTORED:
        return
    if not change.record.corridor.allow_interruption:
        raise FailedPrecondition(
            f"it cannot be changed without an interruption, which allow_interruption would permit: {found.message}",
            reason=NEEDS_INTERRUPTION,
            metadata={"loss": found.loss.value},
        )


def with_move(topology: Topology, change: Plan, occasion: Occasion, now: datetime) -> Plan:
    """The change with its report where it is one of path. Nobody has measured the new path yet, so that both delays
    are computed: figures of two kinds have no difference that means anything.
    """
    before, new = change.before, change.record.target or change.record.then
    if before is None or before.target is None or new is None or _way(before.target) == _way(new):
        return change
    hitless = interruption(topology, change) is None
    faster_us = max(0, carrying_us(topology, before) - _delay_us(topology, new))
    dead = is_dead(topology, before)
    overtaken = (
        0 if dead or change.record.then else overtaken_packets(before.corridor, change.record.corridor, faster_us)
    )
    move = Move(hitless, occasion.value, faster_us, overtaken, False, now)
    record = replace(change.record, corridor=replace(change.record.corridor, last_move=move))
    return replace(change, record=record)


def measured_move(corridor: Corridor, move: Move, old_us: int, new_us: int) -> Move:
    """The report of a move that is over, by both delays as they were measured, one way."""
    faster_us = max(0, old_us - new_us)
    carried = move.hitless or move.overtaken_packets > 0  # else there was nothing to overtake
    overtaken = overtaken_packets(corridor, corridor, faster_us) if carried else 0
    return replace(move, faster_us=faster_us, overtaken_packets=overtaken, measured=True)


def overtaken_packets(before: Corridor, after: Corridor, faster_us: int) -> int:
    """Of the reference size, of both directions the worse: what the slower path still holds when the faster one has
    brought the first."""
    return max(_overtaken(corridor, faster_us) for corridor in (before, after))


def _overtaken(corridor: Corridor, faster_us: int) -> int:
    profile = active(corridor)
    kbps = max(profile.bandwidth_kbps, reverse_of(profile))
    return -(-faster_us * kbps // (8_000 * corridor.reference_packet_bytes))


# -- what it carries no more ------------------------------------------------------------------------------------------


def _narrowed(old: Placement, new: Placement) -> Iterator[Interruption]:
    for name, before, after in (("a_end", old.a_end, new.a_end), ("z_end", old.z_end, new.z_end)):
        if (before.node, before.port) != (after.node, after.port):
            message = f"{name} leaves {before.node} port {before.port}: what that port sends or receives is lost"
            yield Interruption(Loss.ENDS, message)
        if gone := _gone(_prefixes(before), _prefixes(after)):
            yield Interruption(Loss.PREFIXES, f"traffic of {', '.join(gone)} at {name} is lost")
        if after.dscp is not None and after.dscp != before.dscp:
            others = "every other code point" if before.dscp is None else f"code point {before.dscp}"
            yield Interruption(Loss.DSCP, f"traffic with {others} than {after.dscp} from {name} is lost")
    if new.mtu_bytes < old.mtu_bytes:
        message = f"packets of more than {new.mtu_bytes} bytes, of up to {old.mtu_bytes} so far, are lost"
        yield Interruption(Loss.MTU, message)


def _prefixes(end: EndPoint) -> tuple[str, ...]:
    return end.ipv4_prefixes + end.ipv6_prefixes


def _gone(before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    """Prefixes that are not within what all of the others together cover."""
    covered = [
        *collapse_addresses(net for net in map(ip_network, after) if net.version == 4),
        *collapse_addresses(net for net in map(ip_network, after) if net.version == 6),
    ]
    return tuple(text for text in before if not any(_within(text, str(net)) for net in covered))


def _within(inner: str, outer: str) -> bool:
    small, large = ip_network(inner), ip_network(outer)
    return (
        small.version == large.version
        and int(large.network_address) <= int(small.network_address) <= int(large.broadcast_address)
        and small.prefixlen >= large.prefixlen
    )


# -- the order of packets ---------------------------------------------------------------------------------------------


def _forbidden(topology: Topology, before: Record, after: Corridor, new: Placement) -> Interruption | None:
    assert before.target is not None
    faster_us = carrying_us(topology, before) - _delay_us(topology, new)
    if after.reordering is not Reordering.FORBID or faster_us <= 0 or _way(before.target) == _way(new):
        return None
    packets = overtaken_packets(before.corridor, after, faster_us)
    message = f"its path gets {faster_us} µs faster: up to {packets} packets each way would be overtaken"
    return Interruption(Loss.REORDERING, message)


def _way(placement: Placement) -> tuple[object, ...]:
    """What a packet runs over: another slice is another way, another size of the same is not."""
    parts = ((part.id, tuple(hop.link for hop in part.hops)) for part in placement.leg.slices[:1])
    return placement.leg.nodes, placement.leg.links, *parts


def carrying_us(topology: Topology, record: Record) -> int:
    """One way, computed, over what carries a corridor that stands: its protection where line cards or headends have
    switched to that."""
    assert record.target is not None
    switched = any(each.type == ConditionType.PROTECTION_SWITCHED for each in record.corridor.conditions)
    return _delay_us(topology, record.target, switched)


def _delay_us(topology: Topology, placement: Placement, switched: bool = False) -> int:
    leg = placement.leg
    if switched and leg.backup is not None:
        return leg.backup.latency_us
    if len(leg.slices) < 2:
        return leg.latency_us
    part = leg.slices[1] if switched else leg.slices[0]
    return _fixed_us(leg) + _slice_us(topology, placement.a_end.node, part)


def _fixed_us(leg: Leg) -> int:
    """The terms that are the same over either slice of a protected corridor; its budget is that of the slower."""
    return sum(term.value_us for term in leg.latency if term.name not in ("fibre", "otn-nodes"))


def _slice_us(topology: Topology, a_router: str, part: Slice) -> int:
    node = topology.otn_of(a_router)
    total = topology.nodes[node].processing_us
    for hop in part.hops:
        link = topology.links[hop.link]
        node = other_end(link, node)
        total += link.delay_us + topology.nodes[node].processing_us
    return total
