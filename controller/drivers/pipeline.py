"""The packet pipeline as compiled from `p4/`: names, ids and widths of its P4Info, and what is pushed to a device."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from finsy.proto import p4i
from google.protobuf import text_format

from controller.drivers.compiled_program import InvalidProgram, check

_CHECKOUT = Path(__file__).resolve().parents[2] / "p4"
DIRECTORY = _CHECKOUT if _CHECKOUT.is_dir() else Path(sys.prefix) / "share" / "corridor-controller" / "p4"
"""Beside the package in a checkout, under the prefix where the distribution is installed."""


class MatchKind(StrEnum):
    EXACT = "EXACT"
    LPM = "LPM"
    TERNARY = "TERNARY"


@dataclass(frozen=True, slots=True)
class Field:
    """An action parameter or a field of a packet-in or packet-out header."""

    id: int
    name: str
    bits: int


@dataclass(frozen=True, slots=True)
class MatchField:
    id: int
    name: str
    bits: int
    kind: MatchKind


@dataclass(frozen=True, slots=True)
class Action:
    id: int
    name: str
    params: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class ActionSelector:
    """Spreads the flows of one entry over a set of actions."""

    name: str
    max_weight: int
    """Of the members of one group together; 0: any."""


@dataclass(frozen=True, slots=True)
class Cells:
    """An indirect meter or counter: an array of cells, by index from 0."""

    id: int
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Table:
    id: int
    name: str
    size: int
    """Entries that it holds."""
    fields: tuple[MatchField, ...]
    """In the order of the key's declaration."""
    actions: frozenset[int]
    """Ids of the actions that an entry may have."""
    default_writable: bool
    """True where the default action is not constant."""
    selector: ActionSelector | None = None
    """Where there is one, an entry has a group instead of an action."""

    @property
    def needs_priority(self) -> bool:
        return any(field.kind is MatchKind.TERNARY for field in self.fields)


@dataclass(frozen=True)
class Pipeline:
    """One compiled program. `cookie` (64 bits) tells two programs apart without comparing them."""

    p4info: p4i.P4Info
    device_config: bytes
    cookie: int
    tables: dict[str, Table]
    actions: dict[str, Action]
    meters: dict[str, Cells]
    counters: dict[str, Cells]
    packet_in: tuple[Field, ...]
    packet_out: tuple[Field, ...]

    def table(self, table_id: int) -> Table | None:
        found = self._by_id.get(table_id)
        return found if isinstance(found, Table) else None

    def action(self, action_id: int) -> Action | None:
        found = self._by_id.get(action_id)
        return found if isinstance(found, Action) else None

    def cells(self, array_id: int) -> Cells | None:
        """The meter or counter of this id."""
        found = self._by_id.get(array_id)
        return found if isinstance(found, Cells) else None

    @property
    def port_bits(self) -> int:
        """Width of a port number."""
        return next((field.bits for field in self.packet_out if field.name == "egress_port"), 32)

    @cached_property
    def _by_id(self) -> Mapping[int, Table | Action | Cells]:
        named: list[Table | Action | Cells] = [*self.tables.values(), *self.actions.values()]
        named += [*self.meters.values(), *self.counters.values()]
        return {each.id: each for each in named}


def load(directory: Path = DIRECTORY) -> Pipeline:
    """Read `corridor.p4info.txtpb` and `corridor.json` from a directory.

    Raises OSError where they are not, `InvalidProgram` where they do not go together.
    """
    p4info_text = (directory / "corridor.p4info.txtpb").read_bytes()
    return parse(p4info_text, (directory / "corridor.json").read_bytes())


def parse(p4info_text: bytes, device_config: bytes) -> Pipeline:
    """A pipeline from P4Info in text form and the compiled program that goes with it, else `InvalidProgram`."""
    try:
        p4info = text_format.Parse(p4info_text, p4i.P4Info())
    except text_format.ParseError as error:
        raise InvalidProgram(f"not a P4Info in text form: {error}") from None
    check(p4info, device_config)
    headers = {header.preamble.alias: _header(header) for header in p4info.controller_packet_metadata}
    selectors = {profile.preamble.id: _selector(profile) for profile in p4info.action_profiles if profile.with_selector}
    return Pipeline(
        p4info=p4info,
        device_config=device_config,
        cookie=_cookie(p4info_text, device_config),
        tables={table.preamble.alias: _table(table, selectors) for table in p4info.tables},
        actions={action.preamble.alias: _action(action) for action in p4info.actions},
        meters={meter.preamble.alias: _cells(meter) for meter in p4info.meters},
        counters={counter.preamble.alias: _cells(counter) for counter in p4info.counters},
        packet_in=headers.get("packet_in", ()),
        packet_out=headers.get("packet_out", ()),
    )


def _cookie(p4info_text: bytes, device_config: bytes) -> int:
    digest = hashlib.sha256(p4info_text + b"\0" + device_config).digest()
    return int.from_bytes(digest[:8], "big") or 1  # 0 is P4Runtime's "no cookie"


def _table(table: p4i.Table, selectors: Mapping[int, ActionSelector]) -> Table:
    return Table(
        id=table.preamble.id,
        name=table.preamble.alias,
        size=table.size,
        fields=tuple(_match_field(field) for field in table.match_fields),
        actions=frozenset(ref.id for ref in table.action_refs if ref.scope != p4i.ActionRef.DEFAULT_ONLY),
        # Entries of a group have no default action of their own: no target lets it be set.
        default_writable=table.const_default_action_id == 0 and table.implementation_id == 0,
        selector=selectors.get(table.implementation_id),
    )


def _selector(profile: p4i.ActionProfile) -> ActionSelector:
    return ActionSelector(profile.preamble.alias, profile.max_group_size)


def _cells(array: p4i.Meter | p4i.Counter) -> Cells:
    return Cells(array.preamble.id, array.preamble.alias, array.size)


def _match_field(field: p4i.MatchField) -> MatchField:
    kind = MatchKind(p4i.MatchField.MatchType.Name(field.match_type))
    return MatchField(field.id, field.name, field.bitwidth, kind)


def _action(action: p4i.Action) -> Action:
    params = tuple(Field(param.id, param.name, param.bitwidth) for param in action.params)
    return Action(action.preamble.id, action.preamble.alias, params)


def _header(header: p4i.ControllerPacketMetadata) -> tuple[Field, ...]:
    return tuple(Field(field.id, field.name, field.bitwidth) for field in header.metadata)
