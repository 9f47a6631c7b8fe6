"""The packet pipeline as compiled from `p4/`: names, ids and widths of its P4Info, and what is pushed to a device."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from finsy.proto import p4i
from google.protobuf import text_format

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
class Table:
    id: int
    name: str
    fields: tuple[MatchField, ...]
    """In the order of the key's declaration."""
    actions: frozenset[int]
    """Ids of the actions that an entry may have."""
    default_writable: bool
    """True where the default action is not constant."""

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
    meters: dict[str, int]
    """Name to id."""
    packet_in: tuple[Field, ...]
    packet_out: tuple[Field, ...]

    def __post_init__(self) -> None:
        by_id: dict[int, Table | Action | str] = {table.id: table for table in self.tables.values()}
        by_id.update({action.id: action for action in self.actions.values()})
        by_id.update({meter_id: name for name, meter_id in self.meters.items()})
        object.__setattr__(self, "_by_id", by_id)

    def table(self, table_id: int) -> Table | None:
        found = self._named(table_id)
        return found if isinstance(found, Table) else None

    def action(self, action_id: int) -> Action | None:
        found = self._named(action_id)
        return found if isinstance(found, Action) else None

    def meter(self, meter_id: int) -> str | None:
        found = self._named(meter_id)
        return found if isinstance(found, str) else None

    def _named(self, p4_id: int) -> Table | Action | str | None:
        by_id: dict[int, Table | Action | str] = self.__dict__["_by_id"]
        return by_id.get(p4_id)


def load(directory: Path = DIRECTORY) -> Pipeline:
    """Read `corridor.p4info.txtpb` and `corridor.json` from a directory; raises OSError where they are not."""
    p4info_text = (directory / "corridor.p4info.txtpb").read_bytes()
    return parse(p4info_text, (directory / "corridor.json").read_bytes())


def parse(p4info_text: bytes, device_config: bytes) -> Pipeline:
    """Build a pipeline from P4Info in text form and the device configuration that goes with it."""
    p4info = text_format.Parse(p4info_text, p4i.P4Info())
    headers = {header.preamble.alias: _header(header) for header in p4info.controller_packet_metadata}
    return Pipeline(
        p4info=p4info,
        device_config=device_config,
        cookie=_cookie(p4info_text, device_config),
        tables={table.preamble.alias: _table(table) for table in p4info.tables},
        actions={action.preamble.alias: _action(action) for action in p4info.actions},
        meters={meter.preamble.alias: meter.preamble.id for meter in p4info.meters},
        packet_in=headers.get("packet_in", ()),
        packet_out=headers.get("packet_out", ()),
    )


def _cookie(p4info_text: bytes, device_config: bytes) -> int:
    digest = hashlib.sha256(p4info_text + b"\0" + device_config).digest()
    return int.from_bytes(digest[:8], "big") or 1  # 0 is P4Runtime's "no cookie"


def _table(table: p4i.Table) -> Table:
    return Table(
        id=table.preamble.id,
        name=table.preamble.alias,
        fields=tuple(_match_field(field) for field in table.match_fields),
        actions=frozenset(ref.id for ref in table.action_refs if ref.scope != p4i.ActionRef.DEFAULT_ONLY),
        default_writable=table.const_default_action_id == 0,
    )


def _match_field(field: p4i.MatchField) -> MatchField:
    kind = MatchKind(p4i.MatchField.MatchType.Name(field.match_type))
    return MatchField(field.id, field.name, field.bitwidth, kind)


def _action(action: p4i.Action) -> Action:
    params = tuple(Field(param.id, param.name, param.bitwidth) for param in action.params)
    return Action(action.preamble.id, action.preamble.alias, params)


def _header(header: p4i.ControllerPacketMetadata) -> tuple[Field, ...]:
    return tuple(Field(field.id, field.name, field.bitwidth) for field in header.metadata)
