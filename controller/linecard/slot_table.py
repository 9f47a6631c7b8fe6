"""The slot table of one OTN node: which slice holds which fine-grain tributary slots. A value with one invariant:
no slot of a server ODU is ever held by two slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

LineServer: TypeAlias = tuple[int, str]
"""Line port and name of the server ODU."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The slots of one slice in one server ODU at one line port."""

    slice_id: int
    line_port: int
    server: str
    slots: tuple[int, ...]
    """1-based, ascending, local to the server."""
    active: int
    """How many of them, from the first, carry traffic."""

    @property
    def key(self) -> HoldingKey:
        return HoldingKey(self.slice_id, self.line_port)


@dataclass(frozen=True, slots=True, order=True)
class HoldingKey:
    slice_id: int
    line_port: int


SlotChange: TypeAlias = Holding | HoldingKey
"""A holding to set, or the key of one to delete."""


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
class SlotTable:
    sizes: Mapping[LineServer, int] = field(default_factory=dict)
    """Slots of the servers whose size is known; the others are not checked for it."""
    version: int = 0
    _holdings: dict[HoldingKey, Holding] = field(default_factory=dict)

    @property
    def holdings(self) -> tuple[Holding, ...]:
        """Ordered by slice, then line port."""
        return tuple(self._holdings[key] for key in sorted(self._holdings))

    def apply(self, changes: Sequence[SlotChange]) -> tuple[ChangeError, ...]:
        """Change after change; returns the refused ones, the others stand. Raises the version when anything changed."""
        before = dict(self._holdings)
        errors = []
        for index, change in enumerate(changes):
            try:
                self._change(change)
            except SlotError as error:
                errors.append(ChangeError(index, error.code, error.message))
        if self._holdings != before:
            self.version += 1
        return tuple(errors)

    def _change(self, change: SlotChange) -> None:
        if isinstance(change, HoldingKey):
            self._holdings.pop(change, None)
            return
        check_shape(change)
        self._check_size(change)
        self._check_free(change)
        self._holdings[change.key] = change

    def _check_size(self, holding: Holding) -> None:
        size = self.sizes.get((holding.line_port, holding.server))
        if size is not None and holding.slots[-1] > size:
            raise SlotError("OUT_OF_RANGE", f"slot {holding.slots[-1]}: {place(holding)} has {size} slots")

    def _check_free(self, holding: Holding) -> None:
        wanted = set(holding.slots)
        for other in self._holdings.values():
            same_server = (other.line_port, other.server) == (holding.line_port, holding.server)
            if not same_server or other.slice_id == holding.slice_id:
                continue
            if taken := wanted.intersection(other.slots):
                message = f"slot {min(taken)} of {place(holding)} is held by slice {other.slice_id}"
                raise SlotError("FAILED_PRECONDITION", message)


def place(holding: Holding) -> str:
    return f"{holding.server} at line port {holding.line_port}"


def check_shape(holding: Holding) -> None:
    """Raises `SlotError` where the holding makes no sense whatever the table holds."""
    if not holding.server or not holding.slots or holding.line_port < 1 or holding.slice_id < 1:
        raise SlotError("INVALID_ARGUMENT", "slice, line port, server and at least one slot are required")
    if holding.slots[0] < 1 or any(a >= b for a, b in zip(holding.slots, holding.slots[1:], strict=False)):
        raise SlotError("INVALID_ARGUMENT", "slots are numbered from 1 and ascend")
    if not 0 <= holding.active <= len(holding.slots):
        raise SlotError("INVALID_ARGUMENT", f"{holding.active} active of {len(holding.slots)} slots")
