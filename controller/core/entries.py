"""What a device holds: the entries that `render` asks for and that a driver reads back.

An entry has a `key` (what it is about) and a value (the whole entry): two devices agree when they map the
same keys to equal entries. Numbers are plain integers; drivers turn them into wire forms.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from controller.core.otn.rates import FGTS_ETHERNET_BPS


@dataclass(frozen=True, slots=True, order=True)
class Exact:
    value: int


@dataclass(frozen=True, slots=True, order=True)
class Lpm:
    value: int
    prefix_len: int


@dataclass(frozen=True, slots=True, order=True)
class Ternary:
    """Bits outside the mask are zero. A field whose mask is all zero is left out of the match."""

    value: int
    mask: int


MatchValue: TypeAlias = Exact | Lpm | Ternary


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A P4 table entry by the names of `p4/corridor.p4`. An empty match is the table's default action."""

    table: str
    match: tuple[tuple[str, MatchValue], ...]
    """Sorted by field name."""
    action: str
    params: tuple[tuple[str, int], ...] = ()
    """In the order of the action's declaration."""
    priority: int = 0

    @property
    def key(self) -> Hashable:
        return (self.table, self.match, self.priority)


@dataclass(frozen=True, slots=True, order=True)
class GroupMember:
    """One way out of a group: an action with its share, in or out as its port is up or down."""

    action: str
    params: tuple[tuple[str, int], ...] = ()
    """In the order of the action's declaration."""
    weight: int = 1
    """Share of the traffic, in proportion to those of the other members."""
    watch_port: int = 0
    """The member takes no traffic while this port is down; 0: always in."""


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """An entry of a P4 table with an action selector: each flow takes one of the members (one-shot action set)."""

    table: str
    match: tuple[tuple[str, MatchValue], ...]
    """Sorted by field name."""
    members: tuple[GroupMember, ...]
    """In any order; kept sorted, since the order says nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(sorted(self.members)))

    @property
    def key(self) -> Hashable:
        """As that of a `TableEntry`."""
        return (self.table, self.match, 0)


@dataclass(frozen=True, slots=True)
class MeterEntry:
    """One cell of an indirect P4 meter (RFC 2698): per second and in octets, or packets where the meter counts them.

    A peak that equals what is committed is kept as 0: equal limits are equal entries.
    """

    meter: str
    index: int
    rate: int
    burst: int
    peak_rate: int = 0
    """0: the committed rate."""
    peak_burst: int = 0
    """0: the committed burst."""

    def __post_init__(self) -> None:
        if self.peak_rate == self.rate:
            object.__setattr__(self, "peak_rate", 0)
        if self.peak_burst == self.burst:
            object.__setattr__(self, "peak_burst", 0)

    @property
    def key(self) -> Hashable:
        return (self.meter, self.index)

    @property
    def highest_rate(self) -> int:
        """What passes at most, whatever its colour."""
        return self.peak_rate or self.rate


SELECTOR = 0
"""Out port of a cross-connect whose line-card program chooses between working and protection slice."""


@dataclass(frozen=True, slots=True)
class CrossConnect:
    """One direction of a slice through one OTN node: in port and channel address to out port."""

    slice_id: int
    direction: int
    """0: A to Z, 1: Z to A."""
    in_port: int
    channel: int
    """48-bit channel address the frame arrives with."""
    out_port: int
    """`SELECTOR`: where the line-card program of a protected slice's end sends it."""
    rewrite: int | None = None
    """Last node: the router's own MAC that replaces the channel address."""

    @property
    def key(self) -> Hashable:
        """By in port too: while a slice is moved, the node where both paths meet takes it from either."""
        return ("cross-connect", self.slice_id, self.direction, self.in_port)


@dataclass(frozen=True, slots=True, eq=False)
class SliceMeter:
    """The rate limit of one direction of a slice in one OTN node, in frame bits.

    A meter that `follows` has the rate of the slots that the line-card program has committed, which sets it: what
    stands here is its rate at the time of its making, and no difference between two of them.
    """

    slice_id: int
    direction: int
    rate_kbps: int
    burst_kbit: int
    follows: bool = False
    transit: bool = False
    """Behind another meter of the slice, whose frames it never drops."""

    @property
    def key(self) -> Hashable:
        return ("slice-meter", self.slice_id, self.direction)

    @property
    def _kept(self) -> tuple[object, ...]:
        """What the controller holds it to."""
        limit = () if self.follows else (self.rate_kbps, self.burst_kbit)
        return (self.slice_id, self.direction, self.follows, self.transit, *limit)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SliceMeter) and self._kept == other._kept

    def __hash__(self) -> int:
        return hash(self._kept)


@dataclass(frozen=True, slots=True)
class SlotAssignment:
    """The slots reserved for a slice in one server ODU at one line port, kept by the line-card program."""

    slice_id: int
    line_port: int
    server: str
    slots: tuple[int, ...]
    """All claimed numbers, in the order in which they were got."""
    active: int = field(compare=False)
    """How many of them, from the first, carry traffic when the node first hears of the slice. From then on the in-band
    resizing protocol alone changes the count, and no difference is made of it here."""
    slot_bps: int = FGTS_ETHERNET_BPS
    """Frame bits per second that one slot carries; 0: a trail, whose rate is fixed whichever slots it has."""

    @property
    def key(self) -> Hashable:
        return ("slots", self.slice_id, self.line_port)


@dataclass(frozen=True, slots=True)
class ProtectionGroup:
    """The end of a slice that is protected by another: its line-card program watches both and moves the selector."""

    working: int
    """Slice id; frames of the router carry its channel address whichever slice they then take."""
    protection: int
    direction: int
    """Of what this node sends: 0 at the A end, 1 at the Z end."""
    working_port: int
    protection_port: int

    @property
    def key(self) -> Hashable:
        return ("protection", self.working)


Entry: TypeAlias = TableEntry | GroupEntry | MeterEntry | CrossConnect | SliceMeter | SlotAssignment | ProtectionGroup


class Operation(StrEnum):
    INSERT = "INSERT"
    MODIFY = "MODIFY"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Change:
    """One write to a device."""

    operation: Operation
    entry: Entry


@dataclass(frozen=True, slots=True)
class Rejection:
    """A change that the device refused, with its own words."""

    change: Change
    code: str
    """gRPC status name or OpenFlow error type."""
    message: str
    transient: bool = False
