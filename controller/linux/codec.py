"""P4Runtime entities to the target's entries and back, for tables, meters and counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from finsy.proto import p4r

from controller.core.entries import Exact, Operation, TableEntry
from controller.linux import contract
from controller.linux.forwarding import Standing, Update
from controller.linux.pipeline import Pipeline
from controller.linux.rejected import invalid, unimplemented

_OPERATIONS = {
    p4r.Update.INSERT: Operation.INSERT,
    p4r.Update.MODIFY: Operation.MODIFY,
    p4r.Update.DELETE: Operation.DELETE,
}
_METER = "slice_meter"
_COUNTERS = {"corridor_counter": "corridor", "oversize_counter": "oversize"}
"""Counter → the kind that `Standing` has it by."""


def decode_update(pipeline: Pipeline, update: p4r.Update) -> Update:
    """Raises `Rejected` for what the contract or this target does not have."""
    operation = _OPERATIONS.get(update.type)
    if operation is None:
        raise invalid("an update is INSERT, MODIFY or DELETE")
    kind = update.entity.WhichOneof("entity")
    if kind == "table_entry":
        return _table_update(pipeline, operation, update.entity.table_entry)
    if kind == "meter_entry":
        return _meter_update(pipeline, operation, update.entity.meter_entry)
    raise unimplemented(f"{kind or 'an empty entity'} cannot be written to this target")


def _table_update(pipeline: Pipeline, operation: Operation, entry: p4r.TableEntry) -> Update:
    if entry.is_default_action:
        return _default_update(pipeline, operation, entry)
    if not pipeline.table(entry.table_id).fields:
        raise invalid("a table without a key has a default action only")
    key = pipeline.decode_key(entry)
    contract.require(key.table)
    if operation is Operation.DELETE:
        return Update(operation, key)
    decoded = pipeline.decode(entry)
    contract.require(decoded.table, decoded.action)
    return Update(operation, decoded)


def _default_update(pipeline: Pipeline, operation: Operation, entry: p4r.TableEntry) -> Update:
    """A default action always stands: it is modified, and reset by a modification without an action."""
    table = pipeline.table(entry.table_id)
    if operation is not Operation.MODIFY:
        raise invalid(f"the default action of {table.name} can only be modified")
    if not table.default_actions:
        raise invalid(f"the default action of {table.name} is constant")
    if table.fields:
        raise unimplemented(f"the default action of {table.name} cannot be changed on this target")
    contract.require(table.name)
    if not entry.HasField("action"):
        return Update(Operation.DELETE, pipeline.decode_key(entry))
    decoded = pipeline.decode(entry)
    return Update(operation if decoded.action != "NoAction" else Operation.DELETE, decoded)


def _meter_update(pipeline: Pipeline, operation: Operation, entry: p4r.MeterEntry) -> Update:
    """Meter cells always exist: they are modified, and without a configuration let everything pass."""
    contract.require_cells(_name_of(pipeline.meters, entry.meter_id, "meter"))
    if operation is not Operation.MODIFY:
        raise invalid("a meter cell can only be modified (P4Runtime 1.4, 9.3)")
    if not entry.HasField("index") or not 0 <= entry.index.index <= 0xFFFF:
        raise invalid("a meter cell is written by its index, 0..65535")
    match = (("index", Exact(entry.index.index)),)
    if not entry.HasField("config"):
        return Update(Operation.DELETE, TableEntry(_METER, match, "meter"))
    config = entry.config
    if (config.cir, config.cburst) != (config.pir, config.pburst) or config.eburst:
        raise unimplemented("a shaper has one rate: CIR = PIR, with equal bursts")
    params = (("rate", config.cir), ("burst", config.cburst))
    return Update(operation, TableEntry(_METER, match, "meter", params))


def read(pipeline: Pipeline, standing: Standing, entity: p4r.Entity) -> Iterator[p4r.Entity]:
    """What stands of what is asked for; an id of 0 or a missing index means all."""
    kind = entity.WhichOneof("entity")
    if kind == "table_entry":
        yield from _read_table(pipeline, standing, entity.table_entry)
    elif kind == "meter_entry":
        yield from _read_meter(pipeline, standing, entity.meter_entry)
    elif kind == "counter_entry":
        yield from _read_counter(pipeline, standing, entity.counter_entry)
    else:
        raise unimplemented(f"{kind or 'an empty entity'} cannot be read from this target")


def _read_table(pipeline: Pipeline, standing: Standing, asked: p4r.TableEntry) -> Iterator[p4r.Entity]:
    table = pipeline.table(asked.table_id) if asked.table_id else None
    if asked.is_default_action:
        yield from _read_defaults(pipeline, standing, asked.table_id)
        return
    if table is not None and not table.fields:
        return
    key = pipeline.decode_key(asked).key if table is not None and asked.match else None
    names = {t.name for t in pipeline.tables.values() if t.fields and table in (None, t)}
    for entry in standing.entries(lambda name: name in names):
        if key in (None, entry.key):
            yield p4r.Entity(table_entry=pipeline.encode(entry))


def _read_defaults(pipeline: Pipeline, standing: Standing, table_id: int) -> Iterator[p4r.Entity]:
    for table in pipeline.tables.values():
        if table_id not in (0, table.id):
            continue
        if table.fields and table.constant_default:
            entry = p4r.TableEntry(table_id=table.id, is_default_action=True)
            entry.action.action.action_id = table.constant_default
            yield p4r.Entity(table_entry=entry)
        elif not table.fields:
            for found in standing.entries(frozenset({table.name}).__contains__):
                yield p4r.Entity(table_entry=pipeline.encode(found))


def _read_meter(pipeline: Pipeline, standing: Standing, asked: p4r.MeterEntry) -> Iterator[p4r.Entity]:
    """Cells in use. A meter that this target has not has none."""
    meter_id = pipeline.meters[_METER]
    if asked.meter_id and _name_of(pipeline.meters, asked.meter_id, "meter") != _METER:
        return
    for entry in standing.entries(lambda name: name == _METER):
        index, values = dict(entry.match)["index"], dict(entry.params)
        if asked.HasField("index") and asked.index.index != index.value:
            continue
        rate, burst = values["rate"], values["burst"]
        cell = p4r.MeterEntry(meter_id=meter_id, index=p4r.Index(index=index.value))
        cell.config.CopyFrom(p4r.MeterConfig(cir=rate, cburst=burst, pir=rate, pburst=burst))
        yield p4r.Entity(meter_entry=cell)


def _read_counter(pipeline: Pipeline, standing: Standing, asked: p4r.CounterEntry) -> Iterator[p4r.Entity]:
    """Cells in use; a cell that is asked for by its index is answered with zero where nothing counts there."""
    if asked.counter_id:
        contract.require_cells(_name_of(pipeline.counters, asked.counter_id, "counter"))
    for name, kind in _COUNTERS.items():
        counter_id = pipeline.counters[name]
        if asked.counter_id not in (0, counter_id):
            continue
        cells = standing.counters(kind)
        if asked.HasField("index"):
            cells = {asked.index.index: cells.get(asked.index.index, (0, 0))}
        for index, (packets, count) in sorted(cells.items()):
            cell = p4r.CounterEntry(counter_id=counter_id, index=p4r.Index(index=index))
            cell.data.CopyFrom(p4r.CounterData(packet_count=packets, byte_count=count))
            yield p4r.Entity(counter_entry=cell)


def _name_of(ids: Mapping[str, int], wanted: int, kind: str) -> str:
    for name, number in ids.items():
        if number == wanted:
            return name
    raise invalid(f"unknown {kind} id {wanted:#x}")
