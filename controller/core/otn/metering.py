"""What the lab's meters let through for a number of slots: one formula for controller and line-card programs."""

from __future__ import annotations

SOURCE_BURST_S = 0.25
"""A policer has no queue: TCP needs about a quarter of a second of burst behind it."""
TRANSIT_BURST_FACTOR = 2
"""What the source's meter let in, a transit meter never drops: twice the burst …"""
TRANSIT_ALLOWANCE_KBPS = 512
"""… and room for continuity frames, which the source's meter does not see."""


def limit(count: int, slot_bps: int, transit: bool) -> tuple[int, int]:
    """(rate in kbit/s of frame bits, burst in kbit) of a meter on `count` slots of `slot_bps` each."""
    return limit_of_rate(count * slot_bps // 1000, transit)


def limit_of_rate(rate_kbps: int, transit: bool) -> tuple[int, int]:
    burst = int(rate_kbps * SOURCE_BURST_S)
    if transit:
        return rate_kbps + TRANSIT_ALLOWANCE_KBPS, TRANSIT_BURST_FACTOR * burst
    return rate_kbps, burst
