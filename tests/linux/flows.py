"""Flows between the hosts of the chain, with what became of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import router_chain

PROGRAM = str(Path(__file__).with_name("udp_flow.py"))
PORT = 7000


@dataclass
class Flow:
    sent: int
    spacing_s: float = 0.0
    received: int = 0
    rate: float = 0.0
    """Payload bytes per second at the receiver."""

    gaps: int = 0
    """How often packets were lost in a row."""
    gap_s: float = 0.0
    """By the sender's clock, the longest time between two packets that arrived and between which others were lost."""

    @property
    def outage_s(self) -> float:
        """For how long packets were lost. Of a sender that is held up, one of both misleads."""
        return min(self.gap_s, self.lost * self.spacing_s)

    @property
    def lost(self) -> int:
        return self.sent - self.received


@contextmanager
def flow(source: str, target: str, address: str, *, size: int, per_second: int, count: int) -> Iterator[Flow]:
    """The flow runs while the body does; at the end of the block it has been sent and counted whole."""
    found = Flow(count, 1 / per_second)
    receiver = router_chain.start(
        target, sys.executable, PROGRAM, "receive", address, str(PORT), str(count), stdout=subprocess.PIPE
    )
    assert receiver.stdout is not None
    assert receiver.stdout.readline().strip() == "ready"
    arguments = (address, PORT, size, per_second, count)
    sender = router_chain.start(source, sys.executable, PROGRAM, "send", *map(str, arguments))
    try:
        yield found
        assert sender.wait(timeout=60) == 0
        result = json.loads(receiver.stdout.readline())
        found.received, found.rate, found.gap_s = result["packets"], result["rate"], result["gap_s"]
        found.gaps = result["gaps"]
    finally:
        for process in (sender, receiver):
            process.kill()
            process.wait()
        receiver.stdout.close()
