"""Whether a corridor gets what it was promised, by what is measured of it now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from controller.core.conditions import ConditionType
from controller.core.model import Corridor, Enforcement, State
from controller.core.names import short
from controller.core.promises import Slo, Verdict

DOWN, LATENCY, NOT_MEASURED, STALE = "DOWN", "LATENCY", "NOT_MEASURED", "STALE"
"""Reasons, beside the states in which nothing is promised."""
FRESH_S = 10.0
"""Headends measure once a second; what is older says nothing of now."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The last one over the path that carries a corridor."""

    one_way_us: int
    """Half of the round trip: both ways run over the same links, and no clocks are compared."""
    age_s: float


def verdict(corridor: Corridor, measured: Measurement | None, fresh_s: float = FRESH_S) -> Slo:
    """What is promised is that it is carried, within its bound. A corridor that is DEGRADED is carried: its state says
    what it lacks, and its latency is judged as any other's.

    No measurement, no verdict: that its devices hold what they shall is no proof that a packet gets through.
    """
    if corridor.state is State.DOWN:
        return Slo(Verdict.MISSED, DOWN, "nothing carries it", since=_lost_since(corridor))
    if corridor.state in (State.PROVISIONING, State.DELETING):
        return Slo(Verdict.UNKNOWN, corridor.state.value, "nothing is promised before it stands, nor when it goes")
    if measured is None:
        return Slo(Verdict.UNKNOWN, NOT_MEASURED, "no headend measures it")
    if measured.age_s > fresh_s:
        message = f"measured last {measured.age_s:.0f} s ago"
        return Slo(Verdict.UNKNOWN, STALE, message, measured.one_way_us)
    return _judged(corridor, measured.one_way_us)


def _judged(corridor: Corridor, measured_us: int) -> Slo:
    bound = corridor.max_latency_us
    told = [f"{measured_us} µs one way, half of a measured round trip", *_remarks(corridor)]
    if bound and measured_us > bound:
        told.insert(1, f"the bound is {bound} µs")
        return Slo(Verdict.MISSED, LATENCY, "; ".join(told), measured_us)
    return Slo(Verdict.MET, "", "; ".join(told), measured_us)


def _remarks(corridor: Corridor) -> Iterator[str]:
    if corridor.state is State.DEGRADED:
        yield "carried, but not all that was promised stands"
    for leg in corridor.legs:
        ends = zip(leg.nodes[:1] + leg.nodes[-1:], (leg.forward_enforcement, leg.reverse_enforcement), strict=False)
        for node, enforcement in ends:
            if enforcement is Enforcement.POLICED:
                yield f"excess is dropped at {short(node)}: a sender that does not pace itself gets less"


def _lost_since(corridor: Corridor) -> datetime | None:
    lost = (ConditionType.PATH_LOST, ConditionType.INTERRUPTED)
    return min((each.since for each in corridor.conditions if each.type in lost), default=None)
