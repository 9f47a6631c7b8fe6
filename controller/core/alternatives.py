"""What would be accepted instead of a refused corridor: each alternative was planned before it is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from controller.core.admission import MIN_MTU_BYTES, peak, reverse_of
from controller.core.errors import Infeasible, Refused
from controller.core.maintenance import DRAINED
from controller.core.model import Corridor, Isolation, Leg, Objective, Protection
from controller.core.path_constraints import EXCLUSIONS, INCLUSIONS, UNCONSTRAINED
from controller.core.plan import Plan, plan
from controller.core.snapshot import Snapshot

Trial = Callable[[Corridor], Leg]
"""Plans a corridor and throws the plan away; raises `Refused`."""

MOST_JITTER_US = 1 << 24
MOST_TRIED = 16
"""Single constraints whose loss is tried: who excludes more is told of all together."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One change of the request that makes it feasible."""

    key: str
    """Of the refusal's metadata."""
    value: str
    text: str


def plan_or_explain(snapshot: Snapshot, corridor: Corridor, request: str = "") -> Plan:
    """As `plan`; where there is no way, the refusal names what would be accepted. That costs some dozen plans more.

    A change of a corridor that stands on what is drained is made where it stands, if nowhere else.
    """
    try:
        return plan(snapshot, corridor, request)
    except Infeasible as refusal:
        here = snapshot.where_it_stands(corridor.name)
        try:
            if here is not snapshot:
                return plan(here, corridor, request, explains=False)
        except Infeasible:
            pass  # the first refusal says it
        raise _explained(refusal, snapshot, corridor) from None


def _explained(refusal: Infeasible, snapshot: Snapshot, corridor: Corridor) -> Infeasible:
    def trial(other: Corridor) -> Leg:
        return plan(snapshot, other, explains=False).record.corridor.legs[0]

    if refusal.reason in ("SEARCH_EXHAUSTED", DRAINED):
        return refusal  # each alternative would be as long a search, or is known: when maintenance is over
    found = [each for each in _alternatives(corridor, refusal, trial) if each is not None]
    text = "; accepted would be " + ", or ".join(each.text for each in found) if found else ""
    metadata = {**refusal.metadata, **{each.key: each.value for each in found}}
    return Infeasible(refusal.message + text, reason=refusal.reason, metadata=metadata)


def _alternatives(corridor: Corridor, refusal: Infeasible, trial: Trial) -> Iterator[Alternative | None]:
    yield _bandwidth(corridor, trial)
    yield _latency(corridor, int(refusal.metadata.get("latencyUs", 0)), trial)
    if "MTU" in refusal.metadata.get("binding", refusal.reason):
        yield _packet_size(corridor, trial)
    yield _hard(corridor, trial)
    yield _unprotected(corridor, trial)
    yield _hops(corridor, trial)
    yield _jitter(corridor, trial)
    yield _without(corridor, EXCLUSIONS, "withoutExclusion", trial)
    yield _without(corridor, INCLUSIONS, "withoutInclusion", trial)


def _accepted(corridor: Corridor, trial: Trial) -> Leg | None:
    try:
        return trial(corridor)
    except Refused:
        return None


def capped(corridor: Corridor, kbps: int) -> Corridor:
    """With no profile above `kbps` in either direction."""
    profiles = tuple(
        replace(
            profile,
            bandwidth_kbps=min(profile.bandwidth_kbps, kbps),
            reverse_bandwidth_kbps=min(profile.reverse_bandwidth_kbps, kbps),
        )
        for profile in corridor.profiles
    )
    return replace(corridor, profiles=profiles)


def _bandwidth(corridor: Corridor, trial: Trial) -> Alternative | None:
    """The most that no profile may exceed, at the latency and the constraints asked for.

    By bisection: a slice that is too thin for its latency bound gets more slots, so less bandwidth is never harder.
    """
    rates = peak(corridor)
    asked = max(rates.bandwidth_kbps, rates.reverse_bandwidth_kbps)

    def fits(kbps: int) -> bool:
        return _accepted(capped(corridor, kbps), trial) is not None

    best = _last(asked, 1, fits) if asked > 1 and fits(1) else 0
    text = f"at most {best} kbit/s at this latency"
    return Alternative("maxBandwidthKbps", str(best), text) if best else None


def _last(refused: int, fitting: int, fits: Callable[[int], bool]) -> int:
    """By bisection, the figure nearest to the refused one that fits, where all on the side of `fitting` do."""
    while abs(refused - fitting) > 1:
        middle = (refused + fitting) // 2
        refused, fitting = (refused, middle) if fits(middle) else (middle, fitting)
    return fitting


def _latency(corridor: Corridor, fastest_us: int, trial: Trial) -> Alternative | None:
    """The least one-way latency at this bandwidth under these constraints.

    `fastest_us`: of the fastest path, where the refusal knows it; a standing corridor would else stay where it is.
    """
    if not corridor.max_latency_us:
        return None
    quick = replace(corridor.path_constraints, objective=Objective.DELAY)
    leg = _accepted(replace(corridor, max_latency_us=0, path_constraints=quick), trial)
    bounds = sorted({bound for bound in (fastest_us, leg.latency_us if leg else 0) if bound > corridor.max_latency_us})

    def fits(us: int) -> bool:
        return _accepted(replace(corridor, max_latency_us=us), trial) is not None

    least = next((us for us in bounds if fits(us)), 0)
    if least and corridor.isolation is Isolation.HARD:  # more slots than the bandwidth needs clock in faster
        least = _last(corridor.max_latency_us, least, fits)
    text = f"a latency bound of {least} µs at this bandwidth"
    return Alternative("minLatencyUs", str(least), text) if least else None


def _packet_size(corridor: Corridor, trial: Trial) -> Alternative | None:
    """The largest customer packet, by bisection: a smaller one is never harder to carry."""

    def fits(mtu_bytes: int) -> bool:
        return _accepted(replace(corridor, mtu_bytes=mtu_bytes), trial) is not None

    least = max(MIN_MTU_BYTES, corridor.reference_packet_bytes)
    if least >= corridor.mtu_bytes or not fits(least):
        return None
    most = _last(corridor.mtu_bytes, least, fits)
    return Alternative("maxMtuBytes", str(most), f"packets of at most {most} bytes")


def _hard(corridor: Corridor, trial: Trial) -> Alternative | None:
    """For a soft corridor with a latency bound: a slice of its own, which passes no router in between."""
    symmetric = all(reverse_of(profile) == profile.bandwidth_kbps for profile in corridor.profiles)
    if corridor.isolation is Isolation.HARD or not (corridor.max_latency_us and symmetric):
        return None
    leg = _accepted(replace(corridor, isolation=Isolation.HARD), trial)
    text = f"HARD isolation, which bypasses the routers in between, with {leg.latency_us if leg else 0} µs one way"
    return Alternative("hardLatencyUs", str(leg.latency_us), text) if leg else None


def _unprotected(corridor: Corridor, trial: Trial) -> Alternative | None:
    """Without a second route beforehand."""
    if corridor.protection is not Protection.PROTECT:
        return None
    leg = _accepted(replace(corridor, protection=Protection.RESTORE), trial)
    return Alternative("protection", Protection.RESTORE.value, "protection RESTORE") if leg else None


def _hops(corridor: Corridor, trial: Trial) -> Alternative | None:
    """The least hop bound, where that is what binds."""
    asked = corridor.path_constraints
    if not asked.max_hops:
        return None
    leg = _accepted(_with(corridor, max_hops=0), trial)
    if leg is None:
        return None
    bounds = range(asked.max_hops + 1, len(leg.links) + 1)
    least = next((hops for hops in bounds if _accepted(_with(corridor, max_hops=hops), trial)), 0)
    return Alternative("minHops", str(least), f"a bound of {least} hops") if least else None


def _jitter(corridor: Corridor, trial: Trial) -> Alternative | None:
    """The least jitter bound, where that is what binds: found by bisection, no path has more than 2^24 µs."""
    asked = corridor.path_constraints.max_jitter_us
    if not asked or _accepted(_with(corridor, max_jitter_us=MOST_JITTER_US), trial) is None:
        return None
    least = _last(asked, MOST_JITTER_US, lambda us: _accepted(_with(corridor, max_jitter_us=us), trial) is not None)
    return Alternative("minJitterUs", str(least), f"a jitter bound of {least} µs")


def _with(corridor: Corridor, **fields: object) -> Corridor:
    return replace(corridor, path_constraints=replace(corridor.path_constraints, **fields))  # type: ignore[arg-type]


def _without(corridor: Corridor, fields: tuple[str, ...], key: str, trial: Trial) -> Alternative | None:
    """The single constraints of which each alone stands in the way, of the first 16; all where only that helps."""
    asked = corridor.path_constraints
    single = [(field, value) for field in fields for value in getattr(asked, field)]
    if not single:
        return None
    alone = [value for field, value in single[:MOST_TRIED] if _accepted(_less(corridor, field, value), trial)]
    if alone:
        names = ",".join(str(value) for value in alone)
        return Alternative(key, names, f"the same without {' or '.join(str(value) for value in alone)}")
    every = _with(corridor, **{field: getattr(UNCONSTRAINED, field) for field in fields})
    if _accepted(every, trial) is None:
        return None
    return Alternative(key, "all", f"the same without {' and '.join(str(value) for _, value in single)}")


def _less(corridor: Corridor, field: str, value: object) -> Corridor:
    left = tuple(each for each in getattr(corridor.path_constraints, field) if each != value)
    return _with(corridor, **{field: left})
