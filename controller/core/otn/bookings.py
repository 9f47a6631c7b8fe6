"""What is held and promised of a ledger row over time: counts, for slot numbers are picked when a booking begins.

A profile is the change of the amount in use at instants to come, ascending in time: +n where a booking of n begins, -n
where it ends, and -n too where a claim ends that holds slots or bandwidth now.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

Step = tuple[datetime, int]
Profile = tuple[Step, ...]


def span(amount: int, start: datetime | None, end: datetime | None) -> Profile:
    """Of one claim on [start, end); `start` None: held now, which is no step but in what is held."""
    begins = ((start, amount),) if start is not None else ()
    ends = ((end, -amount),) if end is not None else ()
    return begins + ends


def joined(profile: Profile, other: Iterable[Step]) -> Profile:
    """Both, with one step per instant and none of zero: what ends when another begins was never beside it."""
    changes = dict(profile)
    for instant, change in other:
        changes[instant] = changes.get(instant, 0) + change
    return tuple(sorted((instant, change) for instant, change in changes.items() if change))


def undone(profile: Profile) -> Profile:
    """What takes a profile out again when it is joined."""
    return tuple((instant, -change) for instant, change in profile)


def peak(held: int, profile: Profile) -> int:
    """The most in use from now on."""
    most = held
    for _, change in profile:
        held += change
        most = max(most, held)
    return most


def first_over(capacity: int, held: int, profile: Profile) -> datetime | None:
    """The first instant to come at which more is in use than there is."""
    for instant, change in profile:
        held += change
        if held > capacity:
            return instant
    return None
