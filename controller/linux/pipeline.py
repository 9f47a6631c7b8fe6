"""A pipeline configuration (P4Info), indexed, and the codec between P4Runtime entries and ours by its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from finsy.proto import p4i, p4r

from controller.core.entries import Exact, Lpm, MatchValue, TableEntry, Ternary
from controller.linux.members import Member, members, params
from controller.linux.rejected import Rejected, invalid, unimplemented

EXACT, LPM, TERNARY = (p4i.MatchField.EXACT, p4i.MatchField.LPM, p4i.MatchField.TERNARY)


@dataclass(frozen=True, slots=True)
class Field:
    """A match field, action parameter or packet header field."""

    id: int
    name: str
    bits: int
    kind: int = 0
    """Match type; 0 where it is none."""


@dataclass(frozen=True, slots=True)
class Action:
    id: int
    name: str
    params: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Table:
    id: int
    name: str
    fields: tuple[Field, ...]
    actions: frozenset[int]
    """Those that entries may have."""
    default_actions: frozenset[int]
    """Those that may become the default; empty where the default is constant."""
    constant_default: int
    """Action id of a constant default; 0: none."""
    group_limit: int | None = None
    """Largest sum of weights in an entry's action set, 0: any; None where entries have one action and no set."""

    @property
    def prioritised(self) -> bool:
        return any(field.kind == TERNARY for field in self.fields)


class Pipeline:
    """An index of one P4Info, with the cookie of the configuration that brought it."""

    def __init__(self, config: p4r.ForwardingPipelineConfig) -> None:
        info = config.p4info
        self.config = config
        self.actions = {a.preamble.id: Action(a.preamble.id, a.preamble.alias, _params(a)) for a in info.actions}
        limits = {p.preamble.id: p.max_group_size for p in info.action_profiles if p.with_selector}
        self.tables = {t.preamble.id: _table(t, limits.get(t.implementation_id)) for t in info.tables}
        self.table_names = {table.name: table for table in self.tables.values()}
        self.action_names = {action.name: action for action in self.actions.values()}
        self.meters = {meter.preamble.alias: meter.preamble.id for meter in info.meters}
        self.counters = {counter.preamble.alias: counter.preamble.id for counter in info.counters}
        headers = {header.preamble.alias: header for header in info.controller_packet_metadata}
        self.packet_in = _header(headers.get("packet_in"))
        self.packet_out = _header(headers.get("packet_out"))

    def table(self, table_id: int) -> Table:
        table = self.tables.get(table_id)
        if table is None:
            raise invalid(f"unknown table id {table_id:#x}")
        return table

    # ---- table entries

    def decode_key(self, entry: p4r.TableEntry) -> TableEntry:
        """An entry's table, match and priority, without its action."""
        table = self.table(entry.table_id)
        if entry.is_default_action:
            if entry.match or entry.priority:
                raise invalid(f"the default action of {table.name} has neither match nor priority")
            return TableEntry(table.name, (), "")
        if table.prioritised != (entry.priority > 0):
            raise invalid(f"table {table.name}: priority {entry.priority} (only ternary tables have one, > 0)")
        return TableEntry(table.name, _decode_match(table, entry.match), "", (), entry.priority)

    def decode(self, entry: p4r.TableEntry) -> TableEntry:
        key = self.decode_key(entry)
        table = self.table(entry.table_id)
        _refuse_extras(entry)
        if table.group_limit is not None and not entry.is_default_action:
            return self._decode_set(table, key, entry.action)
        if entry.action.WhichOneof("type") != "action":
            raise unimplemented(f"table {table.name} takes direct actions only")
        allowed = table.default_actions if entry.is_default_action else table.actions
        action = self._action(table, allowed, entry.action.action)
        return TableEntry(table.name, key.match, action.name, _decode_params(action, entry.action.action), key.priority)

    def _action(self, table: Table, allowed: frozenset[int], given: p4r.Action) -> Action:
        action = self.actions.get(given.action_id)
        if action is None or action.id not in allowed:
            raise invalid(f"table {table.name} has no action id {given.action_id:#x}")
        return action

    def _decode_set(self, table: Table, key: TableEntry, given: p4r.TableAction) -> TableEntry:
        """An action set written in one shot (P4Runtime 1.4, 9.2.3)."""
        if given.WhichOneof("type") != "action_profile_action_set":
            raise unimplemented(f"table {table.name} takes action sets in one shot only")
        if given.action_profile_action_set.action_selection_mode or given.action_profile_action_set.size_semantics:
            raise unimplemented("a set is chosen from and measured as its action selector says")
        actions = given.action_profile_action_set.action_profile_actions
        if not actions:
            raise invalid(f"table {table.name}: an action set has an action at least")
        names = {self._action(table, table.actions, item.action).name for item in actions}
        found = [self._decode_member(item) for item in actions]
        if table.group_limit and sum(member.weight for member in found) > table.group_limit:
            raise Rejected(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the weights of a set are {table.group_limit} at most")
        return TableEntry(table.name, key.match, names.pop(), params(found), key.priority)

    def _decode_member(self, item: p4r.ActionProfileAction) -> Member:
        numbers = dict(_decode_params(self.actions[item.action.action_id], item.action))
        if item.weight < 1:
            raise invalid(f"weight {item.weight}: a member has 1 at least")
        if item.WhichOneof("watch_kind") == "watch":
            raise unimplemented("a port is watched by watch_port")
        return Member(numbers.get("next_hop", 0), item.weight, int.from_bytes(item.watch_port, "big"))

    def encode(self, entry: TableEntry) -> p4r.TableEntry:
        table, action = self.table_names[entry.table], self.action_names[entry.action]
        encoded = p4r.TableEntry(table_id=table.id, priority=entry.priority, is_default_action=not table.fields)
        values = dict(entry.match)
        encoded.match.extend(_encode_field(field, values[field.name]) for field in table.fields if field.name in values)
        if table.group_limit is None:
            _encode_action(encoded.action.action, action, dict(entry.params))
            return encoded
        for member in members(entry):
            item = encoded.action.action_profile_action_set.action_profile_actions.add(weight=member.weight)
            _encode_action(item.action, action, member._asdict())
            item.watch_port = to_bytes(member.watch_port)
        return encoded


def to_bytes(value: int) -> bytes:
    """The canonical form: as few bytes as possible, at least one (P4Runtime 1.4, 8.4)."""
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def to_int(value: bytes, bits: int, name: str) -> int:
    number = int.from_bytes(value, "big")
    if not value:
        raise invalid(f"{name} has no value")
    if number >> bits:
        raise invalid(f"{name} does not fit into {bits} bits")
    return number


def _params(action: p4i.Action) -> tuple[Field, ...]:
    return tuple(Field(param.id, param.name, param.bitwidth) for param in action.params)


def _header(header: p4i.ControllerPacketMetadata | None) -> dict[str, Field]:
    return {} if header is None else {item.name: Field(item.id, item.name, item.bitwidth) for item in header.metadata}


def _table(table: p4i.Table, group_limit: int | None) -> Table:
    scopes = {ref.id: ref.scope for ref in table.action_refs}
    constant = table.const_default_action_id
    return Table(
        id=table.preamble.id,
        name=table.preamble.alias,
        fields=tuple(Field(f.id, f.name, f.bitwidth, f.match_type) for f in table.match_fields),
        actions=frozenset(ref for ref, scope in scopes.items() if scope != p4i.ActionRef.DEFAULT_ONLY),
        default_actions=frozenset()
        if constant
        else frozenset(ref for ref, scope in scopes.items() if scope != p4i.ActionRef.TABLE_ONLY),
        constant_default=constant,
        group_limit=group_limit,
    )


def _refuse_extras(entry: p4r.TableEntry) -> None:
    """What would be lost on the way to the kernel and back is refused, not forgotten."""
    for field in ("meter_config", "counter_data", "meter_counter_data"):
        if entry.HasField(field):
            raise unimplemented(f"{field}: the contract has no direct resources")
    if entry.idle_timeout_ns or entry.metadata or entry.controller_metadata:
        raise unimplemented("idle_timeout_ns, metadata and controller_metadata cannot be kept in the kernel")


def _decode_match(table: Table, match: Iterable[p4r.FieldMatch]) -> tuple[tuple[str, MatchValue], ...]:
    fields = {field.id: field for field in table.fields}
    values: dict[str, MatchValue] = {}
    for item in match:
        field = fields.get(item.field_id)
        if field is None or field.name in values:
            raise invalid(f"table {table.name}: unknown or repeated field id {item.field_id}")
        values[field.name] = _decode_field(field, item)
    for field in table.fields:
        if field.kind == EXACT and field.name not in values:
            raise invalid(f"table {table.name}: exact field {field.name} is missing")
    return tuple(sorted(values.items()))


def _decode_field(field: Field, item: p4r.FieldMatch) -> MatchValue:
    kind = item.WhichOneof("field_match_type")
    if kind == "exact" and field.kind == EXACT:
        return Exact(to_int(item.exact.value, field.bits, field.name))
    if kind == "lpm" and field.kind == LPM:
        value, length = to_int(item.lpm.value, field.bits, field.name), item.lpm.prefix_len
        if not 0 < length <= field.bits or value & ((1 << (field.bits - length)) - 1):
            raise invalid(f"{field.name}: prefix length {length} with bits beyond it, or out of 1..{field.bits}")
        return Lpm(value, length)
    if kind == "ternary" and field.kind == TERNARY:
        value, mask = (to_int(part, field.bits, field.name) for part in (item.ternary.value, item.ternary.mask))
        if not mask or value & ~mask:
            raise invalid(f"{field.name}: an empty mask is left out, bits outside the mask are zero")
        return Ternary(value, mask)
    raise invalid(f"{field.name} is not matched as {kind}")


def _encode_action(encoded: p4r.Action, action: Action, numbers: Mapping[str, int]) -> None:
    encoded.action_id = action.id
    for param in action.params:
        encoded.params.add(param_id=param.id, value=to_bytes(numbers[param.name]))


def _decode_params(action: Action, encoded: p4r.Action) -> tuple[tuple[str, int], ...]:
    given = {param.param_id: param.value for param in encoded.params}
    if set(given) != {param.id for param in action.params} or len(given) != len(encoded.params):
        raise invalid(f"action {action.name} takes {[param.name for param in action.params]}")
    return tuple((param.name, to_int(given[param.id], param.bits, param.name)) for param in action.params)


def _encode_field(field: Field, value: MatchValue) -> p4r.FieldMatch:
    encoded = p4r.FieldMatch(field_id=field.id)
    if isinstance(value, Exact):
        encoded.exact.value = to_bytes(value.value)
    elif isinstance(value, Lpm):
        encoded.lpm.value = to_bytes(value.value)
        encoded.lpm.prefix_len = value.prefix_len
    else:
        encoded.ternary.value = to_bytes(value.value)
        encoded.ternary.mask = to_bytes(value.mask)
    return encoded
