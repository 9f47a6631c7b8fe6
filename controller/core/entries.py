"""What a device holds: the entries that `render` asks for and that a driver reads back.

An entry has a `key` (what it is about) and a value (the whole entry): two devices agree when they map the
same keys to equal entries. Numbers are plain integers; drivers turn them into wire forms.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


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


@dataclass(frozen=True, slots=True)
class MeterEntry:
    """One cell of an indirect P4 meter; CIR = PIR, rates in bytes of wire frame per second."""

    meter: str
    index: int
    rate_bytes_per_s: int
    burst_bytes: int

    @property
    def key(self) -> Hashable:
        return (self.meter, self.index)


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
    rewrite: int | None = None
    """Last node: the router's own MAC that replaces the channel address."""

    @property
    def key(self) -> Hashable:
        return ("cross-connect", self.slice_id, self.direction)


@dataclass(frozen=True, slots=True)
class SliceMeter:
    """The rate limit of one direction of a slice in one OTN node, in frame bits."""

    slice_id: int
    direction: int
    rate_kbps: int
    burst_kbit: int

    @property
    def key(self) -> Hashable:
        return ("slice-meter", self.slice_id, self.direction)


@dataclass(frozen=True, slots=True)
class SlotAssignment:
    """The slots that a slice holds in one server ODU at one line port, kept by the line-card program."""

    slice_id: int
    line_port: int
    server: str
    slots: tuple[int, ...]
    """All claimed numbers, ascending."""
    active: int
    """How many of them, from the first, carry traffic."""

    @property
    def key(self) -> Hashable:
        return ("slots", self.slice_id, self.line_port)


Entry: TypeAlias = TableEntry | MeterEntry | CrossConnect | SliceMeter | SlotAssignment


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
