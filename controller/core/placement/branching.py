"""Moving a slice without a new one: where old and new route part once and meet once, what they share stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from controller.core.model import SliceHop


def shared_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int] | None:
    """(links of the common beginning, links of the common end) of two routes between the same nodes.

    None where a branch cannot replace the old middle by the new: nothing is common, or a link in between is. Every
    cross-connect of the new branch then stands beside the old ones, told apart by its port, but where the routes part.
    """
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    between = [set(route[head : len(route) - tail]) for route in (old, new)]
    return (head, tail) if head + tail and between[0].isdisjoint(between[1]) else None


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def stays(hops: Sequence[SliceHop], links: Sequence[str]) -> tuple[SliceHop, ...] | None:
    """The hops of a slice that a branch to the route over `links` leaves as they are; None where it is no branch."""
    ends = shared_ends([hop.link for hop in hops], links)
    return None if ends is None else (*hops[: ends[0]], *hops[len(hops) - ends[1] :])
