"""The slot table of one OTN node: which slots are reserved for a slice, and how many of them carry it each way.

A value with two invariants: no slot of a server ODU is ever held by two slices, and slots that carry traffic are never
taken away while the slice has a holding here. The slots of a trail may be: it fills them whichever they are, and the
file that lists the trails says where each has its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from controller.core.entries import ProtectionGroup
from controller.core.otn.rates import FGTS_PER_SERVER
from controller.core.otn.servers import LINE, opened_server
from controller.linecard.resize_messages import MAX_SLOT_NUMBER, MAX_TEXT
from controller.linecard.slot_index import SlotIndex

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
    """Frame bits per second that one slot carries; 0: its rate is not told by its slots."""

    @property
    def key(self) -> HoldingKey:
        return HoldingKey(self.slice_id, self.line_port)

    @property
    def is_trail(self) -> bool:
        """Of a fixed rate, in tributary slots of the line: never resized."""
        return self.server == LINE and not self.slot_bps


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

    @property
    def is_trail(self) -> bool:
        return all(holding.is_trail for holding in self.held.values())


@dataclass(slots=True)
class SlotTable:
    sizes: Mapping[LineServer, int] = field(default_factory=dict)
    """Slots of the servers whose size is told; of others it follows from the name, or is not checked."""
    version: int = 0
    _slices: dict[int, _Slice] = field(default_factory=dict)
    _protections: dict[int, ProtectionGroup] = field(default_factory=dict)
    _births: int = 0
    _index: SlotIndex = field(default_factory=SlotIndex)

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
        before: dict[tuple[str, int], object] = {}
        errors = []
        for index, change in enumerate(changes):
            subject = _subject(change)
            if subject not in before:
                before[subject] = self._kept(subject)
            try:
                self._change(change)
            except SlotError as error:
                errors.append(ChangeError(index, error.code, error.message))
        if any(self._kept(subject) != kept for subject, kept in before.items()):
            self.version += 1
        return tuple(errors)

    def _kept(self, subject: tuple[str, int]) -> object:
        kind, number = subject
        return self.held(number) if kind == "slice" else self._protections.get(number)

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
        known = self._slices.get(holding.slice_id)
        self._claim(holding, known.held.get(holding.line_port) if known else None)
        if known is None:
            self._births += 1
            known = self._slices[holding.slice_id] = _Slice([holding.active, holding.active], self._births)
        elif known.is_trail and holding.is_trail:
            known.committed = [holding.active, holding.active]
        known.held[holding.line_port] = holding

    def _delete(self, key: HoldingKey) -> None:
        known = self._slices.get(key.slice_id)
        holding = known.held.pop(key.line_port, None) if known else None
        if known is None or holding is None:
            return
        self._index.give_back(holding.line_port, holding.server, holding.slots)
        if not known.held:
            del self._slices[key.slice_id]

    def _claim(self, holding: Holding, before: Holding | None) -> None:
        """Its slots instead of those that the slice had at the line port before. Raises `SlotError`."""
        if before is not None:
            self._index.give_back(before.line_port, before.server, before.slots)
        refusal = self._refusal(holding)
        stays = before if refusal else holding
        if stays is not None:
            self._index.take(stays.slice_id, stays.line_port, stays.server, stays.slots)
        if refusal:
            raise SlotError("FAILED_PRECONDITION", refusal)

    def _refusal(self, holding: Holding) -> str:
        """Which other slice has a slot of the same server, or of the line below; empty where none has."""
        wanted = holding.line_port, holding.server, holding.slots
        if (taken := self._index.holder(*wanted)) is not None:
            return f"slot {taken[0]} of {place(holding)} is held by slice {taken[1]}"
        if (taken := self._index.below(*wanted)) is not None:
            return f"slot {taken[0]} of line port {holding.line_port} is held by slice {taken[1]}"
        return ""

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
        known = self._slices.get(holding.slice_id)
        before = known.held.get(holding.line_port) if known else None
        if known is not None and known.is_trail and holding.is_trail:
            return
        if len(holding.slots) < carrying:
            message = f"{carrying} slots of {place(holding)} carry traffic, not {len(holding.slots)}"
            raise SlotError("FAILED_PRECONDITION", message)
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


def _subject(change: SlotChange) -> tuple[str, int]:
    """What a change may change."""
    match change:
        case Holding() | HoldingKey():
            return "slice", change.slice_id
        case ProtectionGroup() | Unprotect():
            return "group", change.working
