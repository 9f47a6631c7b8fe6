"""Entries of the core to P4Runtime protobuf and back (P4Runtime, "P4 Entity Messages").

Canonical form on both sides: numbers as the shortest byte string, masked-out bits zero, a field that matches
everything left out on the wire. In an entry a ternary field without a mask is left out too, an LPM field of length 0
stays as `Lpm(0, 0)`: so an empty match always means the default action.
"""

from __future__ import annotations

from finsy.proto import p4r

from controller.core.entries import (
    Change,
    Entry,
    Exact,
    Lpm,
    MatchValue,
    MeterEntry,
    Operation,
    TableEntry,
    Ternary,
)
from controller.drivers.pipeline import Action, MatchField, MatchKind, Pipeline, Table

_UPDATE = {
    Operation.INSERT: p4r.Update.INSERT,
    Operation.MODIFY: p4r.Update.MODIFY,
    Operation.DELETE: p4r.Update.DELETE,
}


class Unencodable(ValueError):
    """The entry does not fit the pipeline: unknown name, wrong match kind, missing parameter, number too wide."""


def encode(pipeline: Pipeline, change: Change) -> p4r.Update:
    """One change as a P4Runtime update; raises `Unencodable`."""
    entry = change.entry
    if isinstance(entry, MeterEntry):
        return _meter_update(pipeline, change.operation, entry)
    if not isinstance(entry, TableEntry):
        raise Unencodable(f"{type(entry).__name__} is not an entry of a packet node")
    update = p4r.Update(type=_UPDATE[change.operation])
    update.entity.table_entry.CopyFrom(_encode_table_entry(pipeline, entry))
    if not entry.match:
        # A default action always stands: it is modified, and reset by a modification without an action.
        update.type = p4r.Update.MODIFY
        if change.operation is Operation.DELETE:
            update.entity.table_entry.ClearField("action")
    return update


def decode(pipeline: Pipeline, entity: p4r.Entity) -> Entry | None:
    """What a device reports as an entry; None for what the pipeline does not name and for cells never set."""
    if entity.HasField("table_entry"):
        return _decode_table_entry(pipeline, entity.table_entry)
    if entity.HasField("meter_entry"):
        return _decode_meter(pipeline, entity.meter_entry)
    return None


def read_request(pipeline: Pipeline) -> list[p4r.Entity]:
    """The entities whose reading covers everything that this controller can write."""
    entities = []
    for table in pipeline.tables.values():
        if table.fields:
            entities.append(p4r.Entity(table_entry=p4r.TableEntry(table_id=table.id)))
        if table.default_writable:
            entities.append(p4r.Entity(table_entry=p4r.TableEntry(table_id=table.id, is_default_action=True)))
    entities += [p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=meter)) for meter in pipeline.meters.values()]
    return entities


def encode_frame(pipeline: Pipeline, port: int, frame: bytes) -> p4r.PacketOut:
    """A packet-out; every header field is given, padding as zero."""
    values = {"egress_port": port}
    metadata = [
        p4r.PacketMetadata(metadata_id=field.id, value=_to_bytes(values.get(field.name, 0), field.bits, field.name))
        for field in pipeline.packet_out
    ]
    return p4r.PacketOut(payload=frame, metadata=metadata)


def decode_frame(pipeline: Pipeline, packet: p4r.PacketIn) -> tuple[int, bytes]:
    """Ingress port (0 where the device did not say) and frame."""
    names = {field.id: field.name for field in pipeline.packet_in}
    values = {names.get(item.metadata_id): int.from_bytes(item.value, "big") for item in packet.metadata}
    return values.get("ingress_port", 0), packet.payload


def _meter_update(pipeline: Pipeline, operation: Operation, entry: MeterEntry) -> p4r.Update:
    """Meter cells always exist, so every write is a modification; without a configuration it resets the cell."""
    meter_id = pipeline.meters.get(entry.meter)
    if meter_id is None:
        raise Unencodable(f"unknown meter {entry.meter}")
    update = p4r.Update(type=p4r.Update.MODIFY)
    update.entity.meter_entry.meter_id = meter_id
    update.entity.meter_entry.index.index = entry.index
    if operation is not Operation.DELETE:
        rate, burst = entry.rate, entry.burst
        config = p4r.MeterConfig(cir=rate, cburst=burst, pir=entry.peak_rate or rate, pburst=entry.peak_burst or burst)
        update.entity.meter_entry.config.CopyFrom(config)
    return update


def _decode_meter(pipeline: Pipeline, entry: p4r.MeterEntry) -> MeterEntry | None:
    name = pipeline.meter(entry.meter_id)
    if name is None or not entry.HasField("config"):
        return None
    config = entry.config
    return MeterEntry(name, entry.index.index, config.cir, config.cburst, config.pir, config.pburst)


def _encode_table_entry(pipeline: Pipeline, entry: TableEntry) -> p4r.TableEntry:
    table = pipeline.tables.get(entry.table)
    action = pipeline.actions.get(entry.action)
    if table is None or action is None or action.id not in table.actions:
        raise Unencodable(f"table {entry.table} has no action {entry.action}")
    encoded = p4r.TableEntry(table_id=table.id, priority=entry.priority)
    encoded.match.extend(_encode_match(table, entry))
    encoded.action.action.action_id = action.id
    encoded.action.action.params.extend(_encode_params(action, entry))
    if not entry.match:
        if not table.default_writable:
            raise Unencodable(f"the default action of table {entry.table} is constant")
        encoded.is_default_action = True
    elif table.needs_priority != (entry.priority > 0):
        raise Unencodable(f"table {entry.table}: priority {entry.priority} (only ternary tables have one, > 0)")
    return encoded


def _encode_match(table: Table, entry: TableEntry) -> list[p4r.FieldMatch]:
    values = dict(entry.match)
    encoded = []
    for field in table.fields if entry.match else ():
        match = _encode_field(field, values.pop(field.name, None))
        if match is not None:
            encoded.append(match)
    if values:
        raise Unencodable(f"table {entry.table} has no field {', '.join(values)}")
    return encoded


def _encode_field(field: MatchField, value: MatchValue | None) -> p4r.FieldMatch | None:
    match field.kind, value:
        case MatchKind.EXACT, Exact(number):
            exact = p4r.FieldMatch.Exact(value=_to_bytes(number, field.bits, field.name))
            return p4r.FieldMatch(field_id=field.id, exact=exact)
        case MatchKind.LPM, Lpm(number, length):
            return _encode_lpm(field, number, length)
        case MatchKind.TERNARY, Ternary(number, mask):
            return _encode_ternary(field, number, mask)
        case MatchKind.LPM | MatchKind.TERNARY, None:
            return None
    raise Unencodable(f"field {field.name} needs a match of kind {field.kind}, not {value}")


def _encode_lpm(field: MatchField, number: int, length: int) -> p4r.FieldMatch | None:
    if not 0 <= length <= field.bits:
        raise Unencodable(f"field {field.name}: prefix length {length}")
    if length == 0:
        return None
    host_bits = field.bits - length
    prefix = p4r.FieldMatch.LPM(
        value=_to_bytes(number >> host_bits << host_bits, field.bits, field.name), prefix_len=length
    )
    return p4r.FieldMatch(field_id=field.id, lpm=prefix)


def _encode_ternary(field: MatchField, number: int, mask: int) -> p4r.FieldMatch | None:
    if mask == 0:
        return None
    ternary = p4r.FieldMatch.Ternary(
        value=_to_bytes(number & mask, field.bits, field.name), mask=_to_bytes(mask, field.bits, field.name)
    )
    return p4r.FieldMatch(field_id=field.id, ternary=ternary)


def _encode_params(action: Action, entry: TableEntry) -> list[p4r.Action.Param]:
    values = dict(entry.params)
    if set(values) != {param.name for param in action.params}:
        raise Unencodable(f"action {action.name} needs {[param.name for param in action.params]}, not {list(values)}")
    return [
        p4r.Action.Param(param_id=param.id, value=_to_bytes(values[param.name], param.bits, param.name))
        for param in action.params
    ]


def _decode_table_entry(pipeline: Pipeline, entry: p4r.TableEntry) -> TableEntry | None:
    table = pipeline.table(entry.table_id)
    action = pipeline.action(entry.action.action.action_id)
    if table is None or action is None or action.id not in table.actions:
        return None
    params = {param.param_id: int.from_bytes(param.value, "big") for param in entry.action.action.params}
    return TableEntry(
        table=table.name,
        match=() if entry.is_default_action else _decode_match(table, entry),
        action=action.name,
        params=tuple((param.name, params.get(param.id, 0)) for param in action.params),
        priority=entry.priority,
    )


def _decode_match(table: Table, entry: p4r.TableEntry) -> tuple[tuple[str, MatchValue], ...]:
    sent = {match.field_id: match for match in entry.match}
    decoded = ((field.name, _decode_field(field, sent.get(field.id))) for field in table.fields)
    return tuple(sorted((name, value) for name, value in decoded if value is not None))


def _decode_field(field: MatchField, match: p4r.FieldMatch | None) -> MatchValue | None:
    match field.kind:
        case MatchKind.EXACT:
            return Exact(int.from_bytes(match.exact.value, "big") if match else 0)
        case MatchKind.LPM:
            return _decode_lpm(field, match)
        case MatchKind.TERNARY:
            mask = int.from_bytes(match.ternary.mask, "big") if match else 0
            return Ternary(int.from_bytes(match.ternary.value, "big") & mask, mask) if match and mask else None


def _decode_lpm(field: MatchField, match: p4r.FieldMatch | None) -> Lpm:
    if match is None:
        return Lpm(0, 0)
    host_bits = field.bits - match.lpm.prefix_len
    return Lpm(int.from_bytes(match.lpm.value, "big") >> host_bits << host_bits, match.lpm.prefix_len)


def _to_bytes(number: int, bits: int, name: str) -> bytes:
    if not 0 <= number < 1 << bits:
        raise Unencodable(f"{name}: {number} does not fit {bits} bits")
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
