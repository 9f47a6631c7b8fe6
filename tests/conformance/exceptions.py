"""What a target cannot do, or does in another way: each with what it does instead and why. Tests assert every line.

A `Refusal` is an entry that the target refuses by itself, with a code of its own, while the rest of its batch stands.
A `Difference` is a behaviour on the wire; the test of that behaviour asks `differs` and asserts what the target does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packet_world import END_DX4

from controller.core.entries import Entry


@dataclass(frozen=True, slots=True)
class Refusal:
    target: str
    entry: Entry
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    target: str
    behaviour: str
    instead: str
    reason: str


REFUSALS = (Refusal("linux", END_DX4, "ABORTED", "the kernel's End.DX4 needs one neighbour, no port with hosts"),)
DIFFERENCES = (
    Difference("linux", "one extension header", "reads the whole chain of headers", "the kernel can, a parser cannot"),
    Difference("linux", "no route", "answers Destination Unreachable", "RFC 4443 3.1: a router should; BMv2 is silent"),
    Difference("linux", "inner checksum", "does not verify what it uncovers", "the inner host stack verifies"),
    Difference("linux", "policing", "shapes: queues what is beyond the rate", "HTB, which loses nothing at once"),
    Difference("linux", "no gateway", "answers with a source of its choice", "a kernel always has some address"),
)


def bearable(target: str, entries: Iterable[Entry]) -> list[Entry]:
    """Those of the entries that the target does not refuse."""
    refused = [refusal.entry for refusal in REFUSALS if refusal.target == target]
    return [entry for entry in entries if entry not in refused]


def differs(target: str, behaviour: str) -> bool:
    """Whether the target does this in its own way; the behaviour must be listed."""
    targets = {difference.target for difference in DIFFERENCES if difference.behaviour == behaviour}
    assert targets, f"no target is known to differ in: {behaviour}"
    return target in targets
