"""What one corridor's class of a shaper did."""

from __future__ import annotations

from topologies.lab import Lab
from topologies.system import wait_for
from topologies.traffic import ShaperCount, shaper_counts

ROOTS = ("1:1", "1:ffff")


def busiest(before: dict[str, ShaperCount], after: dict[str, ShaperCount]) -> ShaperCount:
    """What the corridor's class sent: the only class with data traffic in the tests here."""
    grown = {key: after[key].packets - before[key].packets for key in before if key in after}
    leaf = max((key for key in grown if key not in ROOTS), key=lambda key: grown[key])
    a, b = before[leaf], after[leaf]
    return ShaperCount(b.packets - a.packets, b.drops - a.drops, b.backlog_packets, b.bytes - a.bytes)


def await_drained(lab: Lab, *routers: str) -> None:
    """Nothing waits in their shapers any more."""
    for router in routers:
        wait_for(
            f"the shaper of {router} drained",
            lambda router=router: not any(c.backlog_packets for c in shaper_counts(lab, router).values()),  # type: ignore[misc]
        )
