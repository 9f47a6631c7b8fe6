"""Entries of the core to P4Runtime protobuf and back (P4Runtime, "P4 Entity Messages").

An empty match always means the default action. Fields and numbers: `p4runtime_fields.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from finsy.proto import p4r

from controller.core.entries import Change, Entry, GroupEntry, GroupMember, MeterEntry, Operation, TableEntry
from controller.drivers.p4runtime_fields import (
    Match,
    Unencodable,
    decode_action,
    decode_match,
    encode_action,
    encode_match,
    to_bytes,
)
from controller.drivers.pipeline import Cells, Pipeline, Table

_UPDATE = {
    Operation.INSERT: p4r.Update.INSERT,
    Operation.MODIFY: p4r.Update.MODIFY,
    Operation.DELETE: p4r.Update.DELETE,
}
_INT32_BITS, _INT64_BITS = 31, 63
"""Numbers that travel as signed protobuf integers."""


def encode(pipeline: Pipeline, change: Change) -> p4r.Update:
    """One change as a P4Runtime update; raises `Unencodable`."""
    entry = change.entry
    if isinstance(entry, MeterEntry):
        return _meter_update(pipeline, change.operation, entry)
    update = p4r.Update(type=_UPDATE[change.operation])
    if isinstance(entry, TableEntry):
        update.entity.table_entry.CopyFrom(_encode_table_entry(pipeline, entry))
    elif isinstance(entry, GroupEntry):
        update.entity.table_entry.CopyFrom(_encode_group(pipeline, entry))
    else:
        raise Unencodable(f"{type(entry).__name__} is not an entry of a packet node")
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
    """The entities whose reading covers all tables that this controller can write; meters: `p4runtime_meters.py`."""
    entities = []
    for table in pipeline.tables.values():
        if table.fields:
            entities.append(p4r.Entity(table_entry=p4r.TableEntry(table_id=table.id)))
        if table.default_writable:
            entities.append(p4r.Entity(table_entry=p4r.TableEntry(table_id=table.id, is_default_action=True)))
    return entities


def probe_request(pipeline: Pipeline) -> list[p4r.Entity]:
    """As little as can be read of the program itself: one meter cell, or nothing where it has no meter."""
    meters = list(pipeline.meters.values())[:1]
    return [p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=meter.id, index=p4r.Index())) for meter in meters]


def counter_request(counter: Cells, cells: Iterable[int] | None) -> list[p4r.Entity]:
    """The cells by their indices, or the whole array; `Unencodable` for a cell that it has not."""
    if cells is None:
        return [p4r.Entity(counter_entry=p4r.CounterEntry(counter_id=counter.id))]
    indices = (_index(counter, cell) for cell in cells)
    return [p4r.Entity(counter_entry=p4r.CounterEntry(counter_id=counter.id, index=index)) for index in indices]


def decode_counters(entities: Iterable[p4r.Entity]) -> Mapping[int, tuple[int, int]]:
    """(packets, octets) of the cells that have counted anything, by index."""
    cells = (entity.counter_entry for entity in entities)
    return {
        cell.index.index: (cell.data.packet_count, cell.data.byte_count)
        for cell in cells
        if cell.data.packet_count or cell.data.byte_count
    }


def encode_frame(pipeline: Pipeline, port: int, frame: bytes) -> p4r.PacketOut:
    """A packet-out; every header field is given, padding as zero."""
    values = {"egress_port": port}
    metadata = [
        p4r.PacketMetadata(metadata_id=field.id, value=to_bytes(values.get(field.name, 0), field.bits, field.name))
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
    meter = pipeline.meters.get(entry.meter)
    if meter is None:
        raise Unencodable(f"unknown meter {entry.meter}")
    update = p4r.Update(type=p4r.Update.MODIFY)
    update.entity.meter_entry.meter_id = meter.id
    update.entity.meter_entry.index.CopyFrom(_index(meter, entry.index))
    if operation is not Operation.DELETE:
        update.entity.meter_entry.config.CopyFrom(_meter_config(entry))
    return update


def _meter_config(entry: MeterEntry) -> p4r.MeterConfig:
    config = {
        "cir": entry.rate,
        "cburst": entry.burst,
        "pir": entry.peak_rate or entry.rate,
        "pburst": entry.peak_burst or entry.burst,
    }
    for name, number in config.items():
        to_bytes(number, _INT64_BITS, f"{entry.meter} {name}")
    if config["pir"] < config["cir"]:
        raise Unencodable(f"{entry.meter}: peak rate {entry.peak_rate} is below the committed {entry.rate} (RFC 2698)")
    return p4r.MeterConfig(**config)


def _index(array: Cells, index: int) -> p4r.Index:
    if not 0 <= index < array.size:
        raise Unencodable(f"{array.name} has no cell {index}, but {array.size}")
    return p4r.Index(index=index)


def _decode_meter(pipeline: Pipeline, entry: p4r.MeterEntry) -> MeterEntry | None:
    if not entry.HasField("config"):
        return None
    meter, config = pipeline.cells(entry.meter_id), entry.config
    if meter is None:
        return None
    return MeterEntry(meter.name, entry.index.index, config.cir, config.cburst, config.pir, config.pburst)


def _table(pipeline: Pipeline, name: str) -> Table:
    table = pipeline.tables.get(name)
    if table is None:
        raise Unencodable(f"no table {name}")
    return table


def _encode_table_entry(pipeline: Pipeline, entry: TableEntry) -> p4r.TableEntry:
    table = _table(pipeline, entry.table)
    if table.selector is not None:
        raise Unencodable(f"table {entry.table} takes groups, not single actions")
    encoded = p4r.TableEntry(table_id=table.id)
    encoded.match.extend(encode_match(table, entry.match))
    encoded.action.action.CopyFrom(encode_action(pipeline, table, entry.action, entry.params))
    if not entry.match:
        if not table.default_writable:
            raise Unencodable(f"the default action of table {entry.table} is constant")
        encoded.is_default_action = True
    elif table.needs_priority != (entry.priority > 0):
        raise Unencodable(f"table {entry.table}: priority {entry.priority} (only ternary tables have one, > 0)")
    elif entry.priority >= 1 << _INT32_BITS:
        raise Unencodable(f"table {entry.table}: priority {entry.priority} does not fit {_INT32_BITS} bits")
    encoded.priority = entry.priority
    return encoded


def _encode_group(pipeline: Pipeline, entry: GroupEntry) -> p4r.TableEntry:
    """A one-shot action set (P4Runtime, "One Shot Action Selector Programming")."""
    table = _table(pipeline, entry.table)
    if table.selector is None:
        raise Unencodable(f"table {entry.table} takes single actions, not groups")
    if not entry.match or not entry.members:
        raise Unencodable(f"table {entry.table}: a group needs a match and members")
    weight, most = sum(member.weight for member in entry.members), table.selector.max_weight
    if most and weight > most:
        raise Unencodable(f"table {entry.table}: the members weigh {weight}, at most {most} together")
    encoded = p4r.TableEntry(table_id=table.id)
    encoded.match.extend(encode_match(table, entry.match))
    members = (_encode_member(pipeline, table, member) for member in entry.members)
    encoded.action.action_profile_action_set.action_profile_actions.extend(members)
    return encoded


def _encode_member(pipeline: Pipeline, table: Table, member: GroupMember) -> p4r.ActionProfileAction:
    if not 0 < member.weight < 1 << _INT32_BITS:
        raise Unencodable(f"table {table.name}: a member of weight {member.weight}")
    action = encode_action(pipeline, table, member.action, member.params)
    encoded = p4r.ActionProfileAction(action=action, weight=member.weight)
    if member.watch_port:
        encoded.watch_port = to_bytes(member.watch_port, pipeline.port_bits, "watch_port")
    return encoded


def _decode_table_entry(pipeline: Pipeline, entry: p4r.TableEntry) -> TableEntry | GroupEntry | None:
    table = pipeline.table(entry.table_id)
    if table is None:
        return None
    match = () if entry.is_default_action else decode_match(table, entry.match)
    if entry.action.HasField("action_profile_action_set"):
        return _decode_group(pipeline, table, match, entry.action.action_profile_action_set)
    action = decode_action(pipeline, table, entry.action.action)
    return None if action is None else TableEntry(table.name, match, *action, entry.priority)


def _decode_group(
    pipeline: Pipeline, table: Table, match: Match, group: p4r.ActionProfileActionSet
) -> GroupEntry | None:
    """None where a member's action is not one of the table's."""
    members = [_decode_member(pipeline, table, member) for member in group.action_profile_actions]
    ours = tuple(member for member in members if member is not None)
    return GroupEntry(table.name, match, ours) if len(ours) == len(members) else None


def _decode_member(pipeline: Pipeline, table: Table, member: p4r.ActionProfileAction) -> GroupMember | None:
    action = decode_action(pipeline, table, member.action)
    # Targets of an older P4Runtime answer with `watch`, a plain number.
    port = member.watch if member.HasField("watch") else int.from_bytes(member.watch_port, "big")
    return None if action is None else GroupMember(*action, member.weight, max(port, 0))
