"""What becomes of a frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Drop(StrEnum):
    NO_ROLE = "the port has no role"
    NOT_FOR_US = "the destination MAC is not the port's"
    NOT_IP = "nothing that is routed here"
    MALFORMED = "the headers do not hold together"
    MARTIAN = "addresses that no router forwards"
    EDGE = "a customer addresses the SR domain, or brings a routing header"
    OPTIONS = "IPv4 options"
    TOO_BIG = "larger than the corridor's MTU"
    NO_POLICY = "a corridor without a list or a source"
    COLOR = "more than the profile allows"
    HOP_LIMIT = "the hop limit ends here"
    SEGMENTS = "a list that does not hold together, or ends before a decapsulation"
    UPPER_LAYER = "not what the segment decapsulates"
    CONGESTION = "the tunnel met congestion that the packet cannot tell of"
    NO_ROUTE = "no route"
    NO_NEXT_HOP = "no next hop"
    NO_HOST = "nobody has that address"
    TO_NODE = "to the node itself, and not for it"


class Dropped(Exception):
    """Ends the processing of a packet."""

    def __init__(self, reason: Drop, mtu: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.mtu = mtu
        """What would have been small enough, where it is a matter of size."""


@dataclass(frozen=True)
class Sent:
    """A frame out of a port. Bits of `free` are the target's to choose."""

    port: int
    octets: bytes
    free: bytes = b""

    def is_like(self, port: int, octets: bytes) -> bool:
        """Whether this is what was seen, free bits aside."""
        same = len(octets) == len(self.octets) and port == self.port
        return same and _without(self.octets, self.free) == _without(octets, self.free)


@dataclass(frozen=True)
class Outcome:
    """Where the node may do one of several things (equal next hops), `sent` has them all, and one of them happens."""

    sent: tuple[Sent, ...] = ()
    punted: bytes | None = None
    dropped: Drop | None = None
    counted: tuple[tuple[str, int], ...] = field(default=())
    """(counter, index) of the contract."""

    def __iter__(self) -> Iterator[Sent]:
        return iter(self.sent)

    def allows(self, received: list[tuple[int, bytes]]) -> bool:
        """Whether these frames, and no others, may come out."""
        if not self.sent:
            return not received
        return len(received) == 1 and any(each.is_like(*received[0]) for each in self.sent)


def _without(octets: bytes, free: bytes) -> bytes:
    return bytes(octet & ~mask for octet, mask in zip(octets, free.ljust(len(octets), b"\0"), strict=False))
