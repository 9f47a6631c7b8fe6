"""The slot table of one OTN node: which slots are reserved for a slice, and how many of them carry it each way.

A value with two invariants: no slot of a server ODU is ever held by two slices, and slots that carry traffic are never
taken away while the slice has a holding here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from controller.core.entries import ProtectionGroup
from controller.core.otn.rates import FGTS_PER_SERVER
from controller.core.otn.servers import LINE, opened_server
from controller.core.otn.slots import bitmap_of
from controller.linecard.resize_messages import MAX_SLOT_NUMBER, MAX_TEXT

LineServer: TypeAlias = tuple[int, str]
"""Line port and name of the server ODU."""
FORWARD, REVERSE = 0, 1
"""Directions of traffic: A to Z, Z to A."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The slots reserved for one slice in one server ODU at one line port."""

    slice_id: int
    line_port: int
    server: str
    slots: tuple[int, ...]
    """1-based, distinct, local to the server, in the order in which they were got: the first carry traffic."""
    active: int
    """In a change: the size, both ways, when the node does not know the slice yet; else without meaning.
    As kept: the smaller of both directions' sizes."""
    slot_bps: int = 0
    """Frame bits per second that one slot carries."""

    @property
    def key(self) -> HoldingKey:
        return HoldingKey(self.slice_id, self.line_port)


@dataclass(frozen=True, slots=True, order=True)
class HoldingKey:
    slice_id: int
    line_port: int


@dataclass(frozen=True, slots=True)
class Unprotect:
    """Ends the protection group of this working slice; it need not exist."""

    working: int


SlotChange: TypeAlias = Holding | HoldingKey | ProtectionGroup | Unprotect
"""A holding or a protection group to set, or the key of one to delete."""


class SlotError(Exception):
    """A change was refused and the table is as before. `code` is a gRPC status name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class ChangeError:
    """A refused change of a batch."""

    index: int
    code: str
    message: str


@dataclass(slots=True)
class _Slice:
    """What a node keeps of a slice beside its holdings, from the first of them to the last."""

    committed: list[int]
    """Slots that carry traffic, by direction."""
    since: int
    held: dict[int, Holding] = field(default_factory=dict)
    """By line port; their `active` is without meaning."""


@dataclass(slots=True)
class SlotTable:
    sizes: Mapping[LineServer, int] = field(default_factory=dict)
    """Slots of the servers whose size is told; of others it follows from the name, or is not checked."""
    version: int = 0
    _slices: dict[int, _Slice] = field(default_factory=dict)
    _protections: dict[int, ProtectionGroup] = field(default_factory=dict)
    _births: int = 0

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Ordered by slice, then line port."""
        return tuple(holding for slice_id in sorted(self._slices) for holding in self.held(slice_id))

    @property
    def protections(self) -> tuple[ProtectionGroup, ...]:
        """Ordered by working slice."""
        return tuple(self._protections[working] for working in sorted(self._protections))

    def held(self, slice_id: int) -> tuple[Holding, ...]:
        """The holdings of one slice by line port: one at an end, two in transit, more while it is moved."""
        known = self._slices.get(slice_id)
        if known is None:
            return ()
        return tuple(replace(known.held[port], active=min(known.committed)) for port in sorted(known.held))

    def committed(self, slice_id: int) -> tuple[int, int] | None:
        """Slots that carry a slice, A to Z and Z to A; None where the node does not know it."""
        known = self._slices.get(slice_id)
        return None if known is None else (known.committed[FORWARD], known.committed[REVERSE])

    def since(self, slice_id: int) -> int:
        """Differs between a slice and a later one of the same id; 0 where the node does not know it."""
        known = self._slices.get(slice_id)
        return 0 if known is None else known.since

    def commit(self, slice_id: int, direction: int, count: int) -> None:
        """Lets `count` slots carry one direction. Raises `SlotError`: NOT_FOUND, FAILED_PRECONDITION."""
        known = self._slices.get(slice_id)
        if known is None:
            raise SlotError("NOT_FOUND", f"no slice {slice_id}")
        for holding in self.held(slice_id):
            if len(holding.slots) < count:
                raise SlotError("FAILED_PRECONDITION", f"{len(holding.slots)} slots of {place(holding)} are reserved")
        known.committed[direction] = count

    def apply(self, changes: Sequence[SlotChange]) -> tuple[ChangeError, ...]:
        """Change after change; returns the refused ones, the others stand. Raises the version when anything changed."""
        before = self.holdings, self.protections
        errors = []
        for index, change in enumerate(changes):
            try:
                self._change(change)
            except SlotError as error:
                errors.append(ChangeError(index, error.code, error.message))
        if (self.holdings, self.protections) != before:
            self.version += 1
        return tuple(errors)

    def _change(self, change: SlotChange) -> None:
        match change:
            case Holding():
                self._set(change)
            case HoldingKey():
                self._delete(change)
            case ProtectionGroup():
                check_group(change)
                self._protections[change.working] = change
            case Unprotect():
                self._protections.pop(change.working, None)

    def _set(self, holding: Holding) -> None:
        check_shape(holding)
        self._check_size(holding)
        self._check_carrying(holding)
        for slice_id, known in self._slices.items():
            other = known.held.get(holding.line_port)
            if other is not None and slice_id != holding.slice_id:
                check_apart(holding, other)
        if holding.slice_id not in self._slices:
            self._births += 1
            self._slices[holding.slice_id] = _Slice([holding.active, holding.active], self._births)
        self._slices[holding.slice_id].held[holding.line_port] = holding

    def _delete(self, key: HoldingKey) -> None:
        known = self._slices.get(key.slice_id)
        if known is None:
            return
        known.held.pop(key.line_port, None)
        if not known.held:
            del self._slices[key.slice_id]

    def _check_size(self, holding: Holding) -> None:
        size = self.sizes.get((holding.line_port, holding.server))
        opened = opened_server(holding.server)
        if size is None and opened is not None:
            size = opened.fgts
        if size is not None and max(holding.slots) > size:
            raise SlotError("OUT_OF_RANGE", f"slot {max(holding.slots)}: {place(holding)} has {size} slots")

    def _check_carrying(self, holding: Holding) -> None:
        """What carries traffic stays. A node that knows nothing of the slice takes what it is told."""
        carrying = max(self.committed(holding.slice_id) or (0,))
        if len(holding.slots) < carrying:
            message = f"{carrying} slots of {place(holding)} carry traffic, not {len(holding.slots)}"
            raise SlotError("FAILED_PRECONDITION", message)
        known = self._slices.get(holding.slice_id)
        before = known.held.get(holding.line_port) if known else None
        if before is None or not carrying:
            return
        if before.server != holding.server or before.slots[:carrying] != holding.slots[:carrying]:
            message = f"the first {carrying} slots of {place(before)} carry traffic and stay as they are"
            raise SlotError("FAILED_PRECONDITION", message)


def place(holding: Holding) -> str:
    return f"{holding.server} at line port {holding.line_port}"


def check_shape(holding: Holding) -> None:
    """Raises `SlotError` where the holding makes no sense whatever the table holds."""
    if not holding.server or not holding.slots or holding.line_port < 1 or holding.slice_id < 1:
        raise SlotError("INVALID_ARGUMENT", "slice, line port, server and at least one slot are required")
    if len(holding.server.encode()) > MAX_TEXT or max(holding.slots) > MAX_SLOT_NUMBER:
        raise SlotError("INVALID_ARGUMENT", "server or slots would not fit an in-band message")
    if min(holding.slots) < 1 or len(set(holding.slots)) < len(holding.slots):
        raise SlotError("INVALID_ARGUMENT", "slots are numbered from 1, each once")
    if not 0 <= holding.active <= len(holding.slots):
        raise SlotError("INVALID_ARGUMENT", f"{holding.active} active of {len(holding.slots)} slots")
    try:
        opened = opened_server(holding.server)
    except ValueError as error:
        raise SlotError("INVALID_ARGUMENT", f"server {holding.server}: {error}") from None
    if opened is not None and (opened.odu not in FGTS_PER_SERVER or not opened.tributaries):
        raise SlotError("INVALID_ARGUMENT", f"server {holding.server} carries no fine-grain slots")


def check_group(group: ProtectionGroup) -> None:
    """Raises `SlotError` where the protection group makes no sense."""
    apart = group.working != group.protection and group.working_port != group.protection_port
    if min(group.working, group.protection, group.working_port, group.protection_port) < 1 or not apart:
        raise SlotError("INVALID_ARGUMENT", "a protection group is of two slices at two line ports")
    if group.direction not in (FORWARD, REVERSE):
        raise SlotError("INVALID_ARGUMENT", f"no direction {group.direction}")


def check_apart(holding: Holding, other: Holding) -> None:
    """Raises `SlotError` where two slices at one line port want the same slot, of a server or of the line below."""
    if holding.server == other.server:
        taken, whose = bitmap_of(holding.slots) & bitmap_of(other.slots), place(holding)
    else:
        taken, whose = tributaries(holding) & tributaries(other), f"line port {holding.line_port}"
    if taken:
        lowest = (taken & -taken).bit_length()
        raise SlotError("FAILED_PRECONDITION", f"slot {lowest} of {whose} is held by slice {other.slice_id}")


def tributaries(holding: Holding) -> int:
    """Bitmap of the tributary slots of the line that it takes, as far as its server's name says."""
    if holding.server == LINE:
        return bitmap_of(holding.slots)
    opened = opened_server(holding.server)
    return 0 if opened is None else opened.tributaries
