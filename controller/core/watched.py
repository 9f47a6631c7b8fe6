"""Watched paths: the ways that a corridor's headends send probes around, and the ids that stand for them.

A session is one way around one path, for good: its id belongs to the lists that it watches. Where a list or a path
changes there is another session, which stands before traffic depends on it and beside the one that goes. So no
session is ever altered, and none has to find out anew, while it counts, whether its path is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from controller.core.ids import IdKey
from controller.core.model import Leg, SegmentList

Lists = tuple[SegmentList, SegmentList]
"""For IPv6 and for IPv4 customers."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a path is probed, and after how long a silence it is taken for down."""

    interval_us: int
    detect_us: int


PROTECTED = Pace(10_000, 25_000)
"""Two probes missed, and half an interval for the third to be late."""
MEASURED = Pace(1_000_000, 3_500_000)
"""For the delay alone: of what nothing stands in for."""
PROBES_KBPS = 250
"""Both ends' probes around a protected path, in each direction of it: 148 bytes on the wire with three carriers."""


@dataclass(frozen=True, slots=True)
class WatchedPath:
    """One path as the headend at one of its ends sees it."""

    router: str
    far: str
    links: tuple[str, ...]
    """Adjacencies from the router on; none over a slice."""
    slice_id: int
    """The slice that leads there by itself; 0 over adjacencies."""
    out: Lists
    back: Lists
    pace: Pace
    backup: bool = False
    """It stands in for the other one."""

    @property
    def mark(self) -> str:
        """Tells it apart from all that the corridor ever watches: equal where the lists are."""
        lists = (segments.carriers for segments in (*self.out, *self.back))
        text = repr((self.far, self.links, self.slice_id, *lists, self.pace.interval_us))
        return blake2b(text.encode(), digest_size=8).hexdigest()

    def session(self, corridor: str) -> IdKey:
        return IdKey("session", self.router, f"{corridor}#{self.mark}")

    def policies(self, corridor: str) -> tuple[IdKey, IdKey]:
        """Of a backup: the policies that hold its lists, for IPv6 and IPv4."""
        six, four = (IdKey("policy", self.router, f"{corridor}/{family}/backup#{self.mark}") for family in (6, 4))
        return six, four


def corridor_of(session: IdKey) -> str:
    """Whose session an id is."""
    return session.owner.rpartition("#")[0]


def watched_paths(leg: Leg, a: str, z: str) -> tuple[WatchedPath, ...]:
    """Both paths at both ends where one stands in for the other; else the one that there is, at the A end."""
    there, back = (leg.forward, leg.forward_ipv4), (leg.reverse, leg.reverse_ipv4)
    if leg.slices:
        return (WatchedPath(a, z, (), leg.slices[0].id, there, back, MEASURED),)
    if leg.backup is None:
        return (WatchedPath(a, z, leg.links, 0, there, back, MEASURED),)
    other = leg.backup
    ways = (
        (leg.links, there, back, False),
        (other.links, (other.forward, other.forward_ipv4), (other.reverse, other.reverse_ipv4), True),
    )
    return tuple(
        path
        for links, out, home, backup in ways
        for path in (
            WatchedPath(a, z, links, 0, out, home, PROTECTED, backup),
            WatchedPath(z, a, links[::-1], 0, home, out, PROTECTED, backup),
        )
    )


def watch_ids(corridor: str, leg: Leg, a: str, z: str) -> Iterator[IdKey]:
    """All that its watched paths take at the headends."""
    for path in watched_paths(leg, a, z):
        yield path.session(corridor)
        if path.backup:
            yield from path.policies(corridor)
