"""The ledger: which slots of each server ODU and line, and how much of each adjacency, are held by whom, and when.

Rows are named tuples in a persistent map: a change costs what it touches, not what the network has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from immutables import Map

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.errors import Infeasible
from controller.core.model import SliceHop
from controller.core.otn import bookings
from controller.core.otn.bookings import Profile
from controller.core.otn.servers import LINE, opened_server
from controller.core.otn.slots import Run, bitmap_of_runs, first_of, parse_runs, runs_of


class RowKey(NamedTuple):
    """One server ODU of a fibre, or its line, in one direction (0: A to Z), or an adjacency (server empty)."""

    link: str
    server: str
    direction: int


class Row(NamedTuple):
    """What is taken of a row: a slot bitmap (bit 0 = slot 1) or kbit/s; raised `version` at each change."""

    capacity: int
    """Slots of a server or a line, kbit/s of an adjacency."""
    bitmap: int = 0
    kbps: int = 0
    version: int = 0
    profile: Profile = ()
    """What ends and what is booked, in slots or kbit/s."""

    def free_slots(self) -> int:
        """To be had from now on without end."""
        held = self.bitmap.bit_count()
        return self.capacity - (bookings.peak(held, self.profile) if self.profile else held)

    def free_kbps(self) -> int:
        """To be had from now on without end."""
        return self.capacity - bookings.peak(self.kbps, self.profile)


class ClaimRole(StrEnum):
    """What a claim is for."""

    WORKING = "WORKING"
    PROTECTION = "PROTECTION"
    MOVE = "MOVE"
    """The one of two that a corridor leaves while it moves."""


class Claim(NamedTuple):
    """What one owner holds of one row, slots or kbit/s; with a `start`, how much of it is booked from then on."""

    owner: str
    row: RowKey
    bitmap: int = 0
    kbps: int = 0
    role: ClaimRole = ClaimRole.WORKING
    start: datetime | None = None
    """None: held now."""
    end: datetime | None = None
    """None: until released."""
    slots: int = 0
    """Of a booking, how many; which ones is seen to when it begins, by a claim of then in its place."""

    @property
    def profile(self) -> Profile:
        return bookings.span(self.slots or self.kbps or self.bitmap.bit_count(), self.start, self.end)


Pair: TypeAlias = tuple[Row, Row]
"""A row A to Z, and Z to A."""
Links: TypeAlias = "Map[str, Mapping[str, Pair]]"
"""Rows by link and server."""


class Ledger:
    """All rows; immutable."""

    __slots__ = ("links",)

    def __init__(self, rows: Mapping[RowKey, Row] | None = None) -> None:
        """Rows as given; the other direction of one that is given alone is as large, and empty."""
        links: dict[str, dict[str, Pair]] = {}
        for key, row in (rows or {}).items():
            other = (rows or {}).get(key._replace(direction=1 - key.direction), Row(row.capacity))
            links.setdefault(key.link, {})[key.server] = (other, row) if key.direction else (row, other)
        self.links: Links = Map(links)

    @classmethod
    def of(cls, links: Links) -> Ledger:
        ledger = cls()
        ledger.links = links
        return ledger

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self.links == other.links

    @property
    def rows(self) -> Mapping[RowKey, Row]:
        return _Rows(self.links)

    def row(self, key: RowKey) -> Row:
        return self.links[key.link][key.server][key.direction]

    def offers(self, claim: Claim) -> bool:
        """True where the claim could be taken, in a row that stands or in a server that could be opened."""
        try:
            self.change(frozenset(), frozenset({claim}))
        except (KeyError, Infeasible):
            return False
        return True

    def change(self, released: frozenset[Claim], taken: frozenset[Claim]) -> Ledger:
        """The ledger after one transaction: all of `taken` instead of all of `released`.

        A server that is opened on demand comes with its first claim and goes with the last, and its slots of the line
        with it. Raises `Infeasible` where slots or capacity are not free, or are promised to a booking.
        """
        given, new = released - taken, taken - released
        change = _Change(self.links)
        for claim in given:
            change.release(claim)
        if given:
            change.close_empty({claim.row[:2] for claim in given} - {claim.row[:2] for claim in new})
        for claim in new:
            change.take(claim)
        return Ledger.of(change.links())

    def changed(self, after: Ledger) -> Iterator[tuple[RowKey, Row | None, Row | None]]:
        """(row, before, after) of what differs in `after`; None where there is no such row."""
        for link, new in after.links.items():
            old = self.links[link]
            if old is not new:
                for server in sorted(old.keys() | new.keys()):
                    pairs = zip(old.get(server, (None, None)), new.get(server, (None, None)), strict=True)
                    yield from (
                        (RowKey(link, server, way), *rows) for way, rows in enumerate(pairs) if rows[0] is not rows[1]
                    )

    def gives_back(self, after: Ledger) -> bool:
        """True where `after` has room that was taken here; a server that goes shows in its line."""
        both = ((key, old, new) for key, old, new in self.changed(after) if old and new)
        return any(_gives_back(key, old, new) for key, old, new in both)


def resumed(ledger: Ledger, versions: Mapping[RowKey, int]) -> Ledger:
    """The ledger of a new start: every version past all that were stored, so that no older writer fits any row."""
    newest = max(versions.values(), default=0) + 1
    return Ledger({key: row._replace(version=newest) for key, row in ledger.rows.items()})


def slice_claims(
    owner: str, hops: Iterable[SliceHop], role: ClaimRole = ClaimRole.WORKING, end: datetime | None = None
) -> Iterator[Claim]:
    """What a slice holds: at every hop the same slots both ways."""
    for hop in hops:
        bitmap = bitmap_of_runs(parse_runs(hop.slots))
        yield Claim(owner, RowKey(hop.link, hop.server, A_TO_Z), bitmap, 0, role, None, end)
        yield Claim(owner, RowKey(hop.link, hop.server, Z_TO_A), bitmap, 0, role, None, end)


def free_both_ways(pair: Pair) -> int:
    """Bitmap of the slots that a slice could have: the lowest, where some are promised to bookings."""
    there, back = pair
    free = ~(there.bitmap | back.bitmap) & (1 << there.capacity) - 1
    if there.profile or back.profile:
        return bitmap_of_runs(first_of(runs_of(free), min(there.free_slots(), back.free_slots())))
    return free


def pick_runs(rows: Sequence[Row], count: int, keep: Sequence[Run] = ()) -> list[Run] | None:
    """`count` slots free in every row: those of `keep` that are already held, in their order, then the lowest.

    Numbers are local to a server segment and need not be contiguous. The order is that in which they were got: the
    first N carry traffic, so growing appends, shrinking cuts off the end, and both ends of a segment agree on which
    are active by their count alone. None where too few are free, or not promised to a booking.
    """
    runs = first_of(keep, count)
    taken = bitmap_of_runs(keep)
    more = count - sum(last - first + 1 for first, last in runs)
    if not more:
        return runs
    for row in rows:
        taken |= row.bitmap
    free = ~taken & (1 << min(row.capacity for row in rows)) - 1
    if more > free.bit_count() or any(row.profile and more > row.free_slots() for row in rows):
        return None
    return runs + first_of(runs_of(free), more)


def pick_slots(rows: Iterable[Row], count: int, keep: tuple[int, ...] = ()) -> tuple[int, ...] | None:
    """As `pick_runs`, by number."""
    runs = pick_runs(tuple(rows), count, [(slot, slot) for slot in keep])
    return None if runs is None else tuple(slot for first, last in runs for slot in range(first, last + 1))


class _Rows(Mapping[RowKey, Row]):
    """The rows of a ledger by their keys."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def __getitem__(self, key: RowKey) -> Row:
        return self._links[key.link][key.server][key.direction]

    def __iter__(self) -> Iterator[RowKey]:
        for link in sorted(self._links):
            for server in self._links[link]:
                yield from (RowKey(link, server, way) for way in (A_TO_Z, Z_TO_A))

    def __len__(self) -> int:
        return 2 * sum(map(len, self._links.values()))


class _Change:
    """One transaction under way: the links that it touches, copied when first touched.

    A version rises by one however often its row is touched. A line's is past those of all servers that were open in
    it, and a server begins with its line's: none that comes again is taken for the one that went.
    """

    def __init__(self, links: Links) -> None:
        self._before = links
        self._touched: dict[str, dict[str, Pair]] = {}

    def links(self) -> Links:
        return self._before.update(self._touched)

    def release(self, claim: Claim) -> None:
        row = self._servers(claim.row.link)[claim.row.server][claim.row.direction]
        bitmap, kbps, profile = row.bitmap, row.kbps, row.profile
        if claim.start is None:
            bitmap, kbps = bitmap & ~claim.bitmap, kbps - claim.kbps
        if claim.start is not None or claim.end is not None:
            profile = bookings.joined(profile, bookings.undone(claim.profile))
        self._put(claim.row, row, bitmap, kbps, profile)

    def take(self, claim: Claim) -> None:
        servers = self._servers(claim.row.link)
        if claim.row.server not in servers:
            self._open(claim.row.link, claim.row.server)
        row = servers[claim.row.server][claim.row.direction]
        bitmap, kbps, profile = row.bitmap, row.kbps, row.profile
        if claim.start is None:
            _require_free(row, claim)
            bitmap, kbps = bitmap | claim.bitmap, kbps + claim.kbps
        if claim.start is not None or claim.end is not None:
            profile = bookings.joined(profile, claim.profile)
        if profile:
            _require_promised(claim, row.capacity, kbps or bitmap.bit_count(), profile)
        self._put(claim.row, row, bitmap, kbps, profile)

    def close_empty(self, servers: Iterable[tuple[str, str]]) -> None:
        """Of (link, server), those that were opened on demand and hold nothing any more."""
        for link, server in servers:
            opened = opened_server(server)
            if opened is not None and not any(row.bitmap or row.profile for row in self._servers(link)[server]):
                past = max(row.version for row in self._servers(link).pop(server))
                for way, line in enumerate(self._servers(link)[LINE]):
                    key = RowKey(link, LINE, way)
                    self._put(key, line, line.bitmap & ~opened.tributaries, line.kbps, line.profile, past)

    def _open(self, link: str, server: str) -> None:
        opened = opened_server(server)
        if opened is None:
            raise KeyError(link, server)
        for way in (A_TO_Z, Z_TO_A):
            self.take(Claim(server, RowKey(link, LINE, way), opened.tributaries))
        servers = self._servers(link)
        row = Row(opened.fgts, version=max(row.version for row in servers[LINE]))
        servers[server] = row, row

    def _servers(self, link: str) -> dict[str, Pair]:
        servers = self._touched.get(link)
        if servers is None:
            servers = self._touched[link] = dict(self._before[link])
        return servers

    def _put(self, key: RowKey, row: Row, bitmap: int, kbps: int, profile: Profile, past: int = 0) -> None:
        """`row` changed; its version goes past the one before, and past that."""
        servers = self._touched[key.link]
        before = self._before[key.link].get(key.server)
        version = max(row.version, before[key.direction].version + 1, past + 1) if before else row.version
        row = Row(row.capacity, bitmap, kbps, version, profile)
        there, back = servers[key.server]
        servers[key.server] = (there, row) if key.direction else (row, back)


def _gives_back(key: RowKey, old: Row, new: Row) -> bool:
    if not key.server:
        return new.free_kbps() > old.free_kbps()
    return bool(old.bitmap & ~new.bitmap) or new.free_slots() > old.free_slots()


def _require_free(row: Row, claim: Claim) -> None:
    if row.bitmap & claim.bitmap or (claim.bitmap and claim.bitmap >> row.capacity):
        raise Infeasible(f"{claim.row.link}: slots are held by another slice", reason="SLOTS_TAKEN")
    if row.kbps + claim.kbps > row.capacity:
        free = row.capacity - row.kbps
        raise Infeasible(f"{claim.row.link}: {free} kbit/s free, {claim.kbps} asked", reason="BANDWIDTH_EXHAUSTED")


def _require_promised(claim: Claim, capacity: int, held: int, profile: Profile) -> None:
    """What is booked stays to be had; a booking finds room for all of its time."""
    until = bookings.first_over(capacity, held, profile)
    if until is not None:
        raise Infeasible(
            f"{claim.row.link}: booked, there is room until {until.isoformat()}",
            reason="BOOKED",
            metadata={"links": claim.row.link, "until": until.isoformat()},
        )
