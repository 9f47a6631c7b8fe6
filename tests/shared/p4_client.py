"""A blocking P4Runtime client for tests; entries are encoded by finsy, which knows nothing of the target's codec."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import finsy as fy
import grpc
import pytest
from finsy.proto import U128, p4r, p4r_grpc, rpc_status
from google.protobuf import any_pb2

P4INFO = Path(__file__).parents[2] / "p4" / "corridor.p4info.txtpb"
INSERT, MODIFY, DELETE = p4r.Update.INSERT, p4r.Update.MODIFY, p4r.Update.DELETE


class Schema:
    """The committed P4Info, and entries by its names."""

    def __init__(self) -> None:
        self.schema = fy.P4Schema(P4INFO)

    def entry(
        self, table: str, match: dict[str, object], action: str, priority: int = 0, **params: object
    ) -> p4r.Entity:
        return fy.P4TableEntry(
            table,
            match=fy.P4TableMatch(match),
            action=fy.P4TableAction(action, **params),
            priority=priority,
            is_default_action=table == "tunnel_source",
        ).encode(self.schema)

    def group(self, group: int, *members: tuple[int, int, int]) -> p4r.Entity:
        """A next-hop group of members (next hop, weight, watched port)."""
        actions = [((weight, port), fy.P4TableAction("set_next_hop", next_hop=n)) for n, weight, port in members]
        return fy.P4TableEntry(
            "next_hop_group", match=fy.P4TableMatch({"group": group}), action=fy.P4IndirectAction(actions)
        ).encode(self.schema)

    def meter(
        self, index: int, rate: int = 0, burst: int = 0, peak: int | None = None, name: str = "slice_meter"
    ) -> p4r.Entity:
        pir = rate if peak is None else peak
        config = fy.P4MeterConfig(cir=rate, cburst=burst, pir=pir, pburst=burst) if rate else None
        return fy.P4MeterEntry(name, index=index, config=config).encode(self.schema)

    def counter(self, index: int, name: str = "corridor_counter") -> p4r.Entity:
        return fy.P4CounterEntry(name, index=index).encode(self.schema)

    @property
    def p4info(self) -> object:
        return self.schema.p4info


class Stream:
    """One stream channel: what is sent is queued, what is received is kept by kind."""

    def __init__(self, stub: p4r_grpc.P4RuntimeStub, device_id: int) -> None:
        self._device_id = device_id
        self._outgoing: queue.Queue[p4r.StreamMessageRequest | None] = queue.Queue()
        self.arbitrations: queue.Queue[p4r.MasterArbitrationUpdate] = queue.Queue()
        self.packets: queue.Queue[p4r.PacketIn] = queue.Queue()
        self.errors: queue.Queue[p4r.StreamError] = queue.Queue()
        self.others: queue.Queue[any_pb2.Any] = queue.Queue()
        self.ended: queue.Queue[grpc.RpcError] = queue.Queue()
        self._queues: dict[str, queue.Queue] = {
            "arbitration": self.arbitrations,
            "packet": self.packets,
            "error": self.errors,
            "other": self.others,
        }
        self._call = stub.StreamChannel(iter(self._outgoing.get, None))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            for message in self._call:
                kind = message.WhichOneof("update")
                self._queues[kind].put(getattr(message, kind))
        except grpc.RpcError as error:
            self.ended.put(error)

    def arbitrate(self, election_id: int, device_id: int | None = None) -> None:
        update = p4r.MasterArbitrationUpdate(device_id=self._device_id if device_id is None else device_id)
        update.election_id.CopyFrom(U128.encode(election_id))
        self._outgoing.put(p4r.StreamMessageRequest(arbitration=update))

    def status(self) -> int:
        """The code of the next arbitration update."""
        return self.arbitrations.get(timeout=5).status.code

    def send(self, port: int, frame: bytes) -> None:
        packet = p4r.PacketOut(payload=frame)
        packet.metadata.add(metadata_id=1, value=bytes([port]))
        packet.metadata.add(metadata_id=2, value=b"\0")
        self._outgoing.put(p4r.StreamMessageRequest(packet=packet))

    def close(self) -> None:
        self._outgoing.put(None)
        self._call.cancel()


class Client:
    """A controller of one device: primary from the start unless told otherwise."""

    def __init__(self, address: str, device_id: int, election_id: int = 1) -> None:
        self.device_id, self.election_id = device_id, election_id
        self.channel = grpc.insecure_channel(address)
        grpc.channel_ready_future(self.channel).result(timeout=15)
        self.stub = p4r_grpc.P4RuntimeStub(self.channel)
        self.schema = Schema()
        self.stream = Stream(self.stub, device_id)

    def lead(self) -> Client:
        """Become primary and set the pipeline."""
        self.stream.arbitrate(self.election_id)
        assert self.stream.status() == 0
        self.set_pipeline()
        return self

    def set_pipeline(self, action: int = p4r.SetForwardingPipelineConfigRequest.RECONCILE_AND_COMMIT) -> None:
        request = p4r.SetForwardingPipelineConfigRequest(device_id=self.device_id, action=action)
        request.election_id.CopyFrom(U128.encode(self.election_id))
        request.config.p4info.CopyFrom(self.schema.p4info)
        request.config.cookie.cookie = 4711
        self.stub.SetForwardingPipelineConfig(request, timeout=10)

    def write(self, kind: int, entities: Sequence[p4r.Entity]) -> None:
        self.send(p4r.Update(type=kind, entity=entity) for entity in entities)

    def send(self, updates: Iterator[p4r.Update] | Sequence[p4r.Update]) -> None:
        request = p4r.WriteRequest(device_id=self.device_id, updates=updates)
        request.election_id.CopyFrom(U128.encode(self.election_id))
        try:
            self.stub.Write(request, timeout=30)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNKNOWN:
                failed = [item for item in enumerate(details(error)) if item[1][0] is not grpc.StatusCode.OK]
                error.add_note(str(failed))
            raise

    def errors(self, updates: Sequence[p4r.Update]) -> list[grpc.StatusCode]:
        """The code of each update of a write that must fail as a whole."""
        return [code for code, _ in outcomes(self, updates)]

    def read(self, *entities: p4r.Entity) -> list[p4r.Entity]:
        request = p4r.ReadRequest(device_id=self.device_id, entities=entities)
        return [entity for response in self.stub.Read(request, timeout=10) for entity in response.entities]

    def read_all(self) -> set[bytes]:
        """Everything that can be read, each entity as canonical bytes."""
        found = self.read(
            p4r.Entity(table_entry=p4r.TableEntry()),
            p4r.Entity(table_entry=p4r.TableEntry(table_id=self.table_id("tunnel_source"), is_default_action=True)),
            p4r.Entity(meter_entry=p4r.MeterEntry()),
        )
        return canonical(found)

    def table_id(self, name: str) -> int:
        return self.schema.schema.tables[name].id

    def count(self, index: int, name: str = "corridor_counter") -> tuple[int, int]:
        """Packets and bytes of a corridor."""
        (found,) = self.read(self.schema.counter(index, name))
        return found.counter_entry.data.packet_count, found.counter_entry.data.byte_count

    def close(self) -> None:
        self.stream.close()
        self.channel.close()


def outcomes(client: Client, updates: Sequence[p4r.Update]) -> list[tuple[grpc.StatusCode, str]]:
    """Code and words for each update of a write that must fail as a whole."""
    with pytest.raises(grpc.RpcError) as caught:
        client.send(updates)
    assert caught.value.code() is grpc.StatusCode.UNKNOWN, caught.value
    return details(caught.value)


def additions(entities: Sequence[p4r.Entity]) -> list[p4r.Update]:
    """The writes that bring entities to a device without them; a default action can only be modified."""
    return [
        p4r.Update(type=MODIFY if entity.table_entry.is_default_action else INSERT, entity=entity)
        for entity in entities
    ]


def canonical(entities: Sequence[p4r.Entity]) -> set[bytes]:
    return {canonical_bytes(entity) for entity in entities}


def canonical_bytes(entity: p4r.Entity) -> bytes:
    """finsy writes values of a fixed width in some places; strip leading zeros as the specification asks."""
    copy = p4r.Entity()
    copy.CopyFrom(entity)
    for match in copy.table_entry.match if copy.HasField("table_entry") else ():
        kind = getattr(match, match.WhichOneof("field_match_type"))
        for name in ("value", "mask"):
            if hasattr(kind, name):
                setattr(kind, name, getattr(kind, name).lstrip(b"\0") or b"\0")
    return copy.SerializeToString(deterministic=True)


def details(error: grpc.RpcError) -> list[tuple[grpc.StatusCode, str]]:
    """Code and message of each update, from grpc-status-details-bin."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    trailer = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = rpc_status.Status.FromString(trailer)
    found = []
    for item in status.details:
        one = p4r.Error()
        assert item.Unpack(one)
        found.append((codes[one.canonical_code], one.message))
    return found
