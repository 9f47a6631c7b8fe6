"""Rates on a machine that is busy with other things."""

from __future__ import annotations

import time
from collections.abc import Callable

from raw_frames import command

from topologies.lab import Lab
from topologies.traffic import interface_bytes

ATTEMPTS = 4
"""A busy machine can only slow traffic down: too little is measured again, too much never is."""


def carries(expected: float, tolerance: float, measure: Callable[[], float]) -> None:
    """The rate is reached, and in no attempt exceeded."""
    measured: list[float] = []
    while len(measured) < ATTEMPTS:
        measured.append(measure())
        assert measured[-1] <= expected * (1 + tolerance), measured
        if measured[-1] >= expected * (1 - tolerance):
            return
    raise AssertionError(f"{measured} never reached {expected}")


def flooded_kbps(lab: Lab, source: str, sink: str, frame: bytes, kbps: int, seconds: float = 4.0) -> float:
    """What arrives at a router of another's flood, in frame bits, once the meter's burst is spent."""
    rate = kbps * 1000 / 8 / len(frame)
    with lab.popen(source, command("eth1", frame, int(rate * seconds), rate)) as flood:
        time.sleep(1.5)
        before, began = interface_bytes(lab, sink, "eth1"), time.monotonic()
        flood.wait(timeout=20)
        carried, took = interface_bytes(lab, sink, "eth1") - before, time.monotonic() - began
    return carried * 8 / took / 1000
