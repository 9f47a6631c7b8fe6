"""What a router holds, read past the controller by a client that wants to be nothing: the same for every target."""

from __future__ import annotations

import json

import grpc
from finsy.proto import p4r, p4r_grpc
from p4_client import Schema, canonical_bytes

from topologies.lab import Lab


def entries(lab: Lab, router: str) -> set[bytes]:
    """Table entries and meter cells in use, in canonical form; nothing where there is no pipeline yet."""
    reached = json.loads(lab.inventory.read_text())["nodes"][router]
    with grpc.insecure_channel(reached["p4runtime"]) as channel:
        stub = p4r_grpc.P4RuntimeStub(channel)
        request = p4r.ReadRequest(device_id=reached["device_id"], entities=_wanted())
        try:
            answers = list(stub.Read(request, timeout=10, wait_for_ready=True))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                return set()
            raise
    found = (entity for answer in answers for entity in answer.entities)
    return {canonical_bytes(entity) for entity in found if _in_use(entity)}


def tables(held: set[bytes]) -> set[str]:
    """Names of the tables that something is in."""
    schema = Schema().schema
    ids = {entity.table_entry.table_id for entity in map(p4r.Entity.FromString, held) if entity.HasField("table_entry")}
    return {table.alias for table in schema.tables if table.id in ids}


def _wanted() -> list[p4r.Entity]:
    schema = Schema().schema
    all_tables = [p4r.Entity(table_entry=p4r.TableEntry(table_id=table.id)) for table in schema.tables]
    source = p4r.TableEntry(table_id=schema.tables["tunnel_source"].id, is_default_action=True)
    meters = [p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=meter.id)) for meter in schema.meters]
    return [*all_tables, p4r.Entity(table_entry=source), *meters]


def _in_use(entity: p4r.Entity) -> bool:
    """BMv2 returns every cell of a meter, set or not."""
    return not entity.HasField("meter_entry") or entity.meter_entry.HasField("config")
