"""What a cut costs the traffic: the gap in a steady flow, in packets, on a machine that is busy with other things."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from topologies.lab import Lab, LabError
from topologies.processes import realtime
from topologies.system import wait_for
from topologies.traffic import Flow, Load, interface_bytes

AGAIN = 5
"""Cuts that may be repeated because this machine itself stood still for longer than `STALL_S` meanwhile."""
STALL_S = 0.015
PROMISE_MS = 50
WATCH_PRIORITY = 10
"""Ahead of all equipment of the lab."""
WATCH = """
import gc, os, select, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
gc.disable()
worst, last = 0.0, time.monotonic()
while True:
    asked, _, _ = select.select([0], [], [], 0.001)
    now = time.monotonic()
    worst, last = max(worst, now - last), now
    if asked:
        if not os.read(0, 1):
            break
        print(worst, flush=True)
        worst = 0.0
"""
LOAD = Load(4_000, ip_bytes=200, seconds=1.5, steady=True)
"""2500 packets a second: each lost one is 0.4 ms, as long as none are made up for in a burst."""


class Watch:
    """How long each processor of this machine let a program wait that comes before all others, every millisecond.

    The lab's equipment comes before other programs: being busy is no excuse, only a machine that stands still is.
    A program for each processor, because threads of this one would wait for each other.
    """

    def __init__(self) -> None:
        self._programs = [
            subprocess.Popen(
                [*realtime(WATCH_PRIORITY), sys.executable, "-c", WATCH, str(cpu)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for cpu in sorted(os.sched_getaffinity(0))
        ]
        self.worst_s()

    def worst_s(self) -> float:
        """Since it was asked last."""
        for program in self._programs:
            assert program.stdin is not None
            program.stdin.write(b"?")
            program.stdin.flush()
        return max(float(program.stdout.readline()) for program in self._programs if program.stdout is not None)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.communicate()


def outage_ms(lab: Lab, source: str, sink: str, address: str, fibre: str, ready: Callable[[], bool]) -> float | None:
    """Of one cut, made while traffic flows; None where it is not on the first path (`ready`), and nothing was cut.

    One that outlasts the flow counts as long as the rest of the flow: at least.
    """
    before = interface_bytes(lab, sink, "eth0")
    flow = Flow(lab, source, sink, address, LOAD)
    wait_for("the flow arrives", lambda: interface_bytes(lab, sink, "eth0") > before + 50 * LOAD.ip_bytes)
    try:
        wait_for("traffic on the first path", ready, 1)
    except LabError:
        flow.result()
        return None
    cut_ns = lab.cut(fibre)
    got = flow.result()
    ends_ns = got["first_ns"] + round(LOAD.seconds * 1e9)
    assert got["first_ns"] < cut_ns < max(got["last_ns"], ends_ns), "it was cut while traffic flowed"
    assert cut_ns < got["last_ns"] or got["lost"], "what does not arrive after the cut is lost"
    assert got["duplicated"] == 0
    return float(got["lost"] * 1000 / LOAD.pps)


@dataclass
class Outages:
    """Of many cuts, in ms."""

    outages: list[float] = field(default_factory=list)
    repeated: list[float | None] = field(default_factory=list)
    """Of cuts that were made again, for the machine stood still; None: traffic had left the first path before."""

    @property
    def figures(self) -> dict[str, object]:
        worst, median = max(self.outages), statistics.median(self.outages)
        return {"median_ms": round(median, 1), "worst_ms": round(worst, 1), "repeated_ms": self.repeated}

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {figure}" for name, figure in self.figures.items())
        return f"{len(self.outages)} cuts: {figures}; {sorted(self.outages)}"


def of_cuts(count: int, cut: Callable[[int], float | None]) -> Outages:
    """`cut`: makes one, by its number, and mends it; what it cost in ms. Its answers are those of `outage_ms`."""
    found = Outages()
    with Watch() as watch:
        while (number := len(found.outages)) < count:
            watch.worst_s()
            outage = cut(number)
            late = outage is None or outage >= PROMISE_MS
            if late and watch.worst_s() > STALL_S and len(found.repeated) < AGAIN:
                found.repeated.append(outage)
            else:
                assert outage is not None, "traffic is not on the first path, and the machine did not stand still"
                found.outages.append(outage)
    return found
