"""In-band frames: Ethernet on the fibre's interface that stands for the overhead bytes of a real line.

Resize messages go to a group address that no bridge forwards, from one line card to its neighbour's. Continuity
frames go to the channel address of their slice, and through the cross-connects of transit nodes as its traffic does.
"""

from __future__ import annotations

ETHERTYPE = 0x88B6
"""Local experimental Ethertype 2 (IEEE 802)."""
NEIGHBOUR = 0x0180C200000E
"""Nearest bridge (IEEE 802.1Q, table 8-1)."""
_SOURCE = 0x0E << 40
"""Locally administered; with the line port in its last octets. Nobody learns it."""
HEADER_BYTES, MINIMUM_BYTES = 14, 60


def frame(destination: int, line_port: int, payload: bytes) -> bytes:
    """Ethernet without FCS, padded to the minimum with zeros."""
    head = destination.to_bytes(6, "big") + (_SOURCE | line_port).to_bytes(6, "big") + ETHERTYPE.to_bytes(2, "big")
    return (head + payload).ljust(MINIMUM_BYTES, b"\0")


def destination(data: bytes) -> int:
    return int.from_bytes(data[:6], "big")


def payload(data: bytes) -> bytes:
    """With its padding."""
    return data[HEADER_BYTES:]
