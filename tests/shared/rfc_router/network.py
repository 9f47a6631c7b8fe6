"""Nodes and the wires between them: the way of one packet from port to port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rfc_router.octets import MAC_OCTETS
from rfc_router.outcome import Drop, Outcome
from rfc_router.router import Router

Place: TypeAlias = tuple[str, int]
"""Node and port."""

LONGEST = 255
"""More hops than a hop limit has."""


@dataclass
class Way:
    """Every frame of the way with the place where it left, and how it ended."""

    hops: list[tuple[Place, bytes]] = field(default_factory=list)
    dropped: tuple[str, Drop] | None = None
    """Node and reason."""

    @property
    def nodes(self) -> list[str]:
        return [node for (node, _), _ in self.hops]

    @property
    def end(self) -> tuple[Place, bytes]:
        """Where it left the network, and the frame; only of a packet that did."""
        assert self.dropped is None, self.dropped
        return self.hops[-1]


@dataclass(frozen=True)
class Network:
    """`wires` holds both directions of each: (place, destination MAC) to (place, destination MAC on arrival).

    The MAC counts since an optical layer tells its channels apart by it, and rewrites it at their end.
    """

    routers: Mapping[str, Router]
    wires: Mapping[tuple[Place, int], tuple[Place, int]]

    def send(self, at: Place, frame: bytes) -> Way:
        """The way of a frame that arrives at a port; where nodes have a choice of next hops, of their first."""
        way = Way()
        for _ in range(LONGEST):
            outcome = self.routers[at[0]].receive(at[1], frame)
            if outcome.dropped is not None or not outcome.sent:
                assert outcome.dropped is not None, "it went to a controller"
                way.dropped = at[0], outcome.dropped
                return way
            left, frame = _left(at[0], outcome)
            way.hops.append((left, frame))
            wire = self.wires.get((left, int.from_bytes(frame[:MAC_OCTETS], "big")))
            if wire is None:
                return way
            at, mac = wire
            frame = mac.to_bytes(MAC_OCTETS, "big") + frame[MAC_OCTETS:]
        raise AssertionError("a hop limit has not ended it")


def _left(node: str, outcome: Outcome) -> tuple[Place, bytes]:
    first = outcome.sent[0]
    return (node, first.port), first.octets
