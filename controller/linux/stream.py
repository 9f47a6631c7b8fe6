"""The stream channel: arbitration, packets in and out, and the errors of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import grpc
from finsy.proto import U128, p4r, rpc_status
from google.protobuf.struct_pb2 import Struct

from controller.linux.arbitration import Arbitration
from controller.linux.packet_io import PacketIo
from controller.linux.path_watch import News, PathWatch
from controller.linux.pipeline import Pipeline, to_bytes, to_int
from controller.linux.rejected import Rejected, invalid, unimplemented, unmet

_QUEUE_LIMIT = 1000


class Client:
    """One open stream and the messages that wait for it."""

    def __init__(self) -> None:
        self.outgoing: asyncio.Queue[p4r.StreamMessageResponse] = asyncio.Queue(_QUEUE_LIMIT)
        self.role: str | None = None
        self.election_id = 0

    def tell(self, message: p4r.StreamMessageResponse) -> None:
        """A client that does not listen loses messages, it does not hold up the others."""
        if not self.outgoing.full():
            self.outgoing.put_nowait(message)


class Streams:
    """All streams of the device."""

    def __init__(self, device_id: int, arbitration: Arbitration) -> None:
        self._device_id = device_id
        self._arbitration = arbitration
        self.pipeline: Pipeline | None = None
        self.packets: PacketIo | None = None
        self.paths: PathWatch | None = None

    async def serve(self, requests: AsyncIterator[p4r.StreamMessageRequest], client: Client) -> None:
        """Until the client closes its side; raises `Rejected` for what ends a stream."""
        try:
            async for request in requests:
                self._take(request, client)
        finally:
            self.leave(client)

    def leave(self, client: Client) -> None:
        if client.role is None:
            return
        role, client.role = client.role, None
        was_primary = self._arbitration.primary(role) is client
        self._arbitration.leave(client, role)
        if was_primary:
            self._announce(role)

    def hear_stamp(self, addresses: Collection[int], ports: Collection[int]) -> None:
        if self.packets is not None:
            self.packets.hear_stamp(addresses, ports)

    def follow_paths(self) -> None:
        """Entries about watched paths or protected policies have changed; may be called in any thread."""
        if self.paths is not None:
            self.paths.follow()

    def tell_paths(self, news: News) -> None:
        """How watched paths and protected policies are: for the primary, and for nobody else."""
        primary = self._arbitration.primary()
        if isinstance(primary, Client):
            primary.tell(_path_news(news))

    def punt(self, port: int, frame: bytes) -> None:
        """A frame for the primary, and for nobody else."""
        primary, pipeline = self._arbitration.primary(), self.pipeline
        if isinstance(primary, Client) and pipeline is not None and "ingress_port" in pipeline.packet_in:
            values = {"ingress_port": port}
            metadata = [
                p4r.PacketMetadata(metadata_id=field.id, value=to_bytes(values.get(field.name, 0)))
                for field in pipeline.packet_in.values()
            ]
            primary.tell(p4r.StreamMessageResponse(packet=p4r.PacketIn(payload=frame, metadata=metadata)))

    def _take(self, request: p4r.StreamMessageRequest, client: Client) -> None:
        kind = request.WhichOneof("update")
        if kind == "arbitration":
            self._arbitrate(request.arbitration, client)
        elif client.role is None:
            raise unmet("the first message of a stream is an arbitration")
        elif kind == "packet":
            self._emit(request.packet, client)
        else:
            self._complain(client, unimplemented(f"{kind} is not served"), p4r.StreamError())

    # ---- arbitration

    def _arbitrate(self, update: p4r.MasterArbitrationUpdate, client: Client) -> None:
        role = update.role.name
        if update.device_id != self._device_id:
            raise not_this_device(update.device_id, self._device_id)
        if update.role.HasField("config"):
            raise unimplemented("role configurations are not known")
        if client.role not in (None, role):
            raise unmet("the role of a stream does not change")
        before = self._arbitration.primary(role), self._arbitration.highest(role)
        self._arbitration.arbitrate(client, role, U128.decode(update.election_id))
        client.role, client.election_id = role, U128.decode(update.election_id)
        if before != (self._arbitration.primary(role), self._arbitration.highest(role)):
            self._announce(role)
        else:
            self._tell_status(client, role)
            self._tell_all_paths(client, role)

    def _announce(self, role: str) -> None:
        for client in self._arbitration.clients(role):
            assert isinstance(client, Client)
            self._tell_status(client, role)
            self._tell_all_paths(client, role)

    def _tell_status(self, client: Client, role: str) -> None:
        update = p4r.MasterArbitrationUpdate(device_id=self._device_id)
        if role:
            update.role.name = role
        highest = self._arbitration.highest(role)
        if highest:
            update.election_id.CopyFrom(U128.encode(highest))
        status = self._arbitration.status(client, role)
        texts = {0: "primary", 5: "no primary", 6: "backup"}
        update.status.CopyFrom(rpc_status.Status(code=status.value[0], message=texts[status.value[0]]))
        client.tell(p4r.StreamMessageResponse(arbitration=update))

    def _tell_all_paths(self, client: Client, role: str) -> None:
        """To who has just heard to be primary."""
        everything = None if self.paths is None else self.paths.everything()
        if not role and everything is not None and any(everything.values()) and self._arbitration.primary() is client:
            client.tell(_path_news(everything))

    # ---- packet-out

    def _emit(self, packet: p4r.PacketOut, client: Client) -> None:
        try:
            if self._arbitration.primary("") is not client:
                raise unmet("only the primary sends packets")
            if self.pipeline is None or self.packets is None:
                raise unmet("no pipeline configuration is set")
            self.packets.send(_egress_port(self.pipeline, packet), packet.payload)
        except Rejected as rejected:
            self._complain(client, rejected, p4r.StreamError(packet_out=p4r.PacketOutError(packet_out=packet)))

    def _complain(self, client: Client, why: Rejected, error: p4r.StreamError) -> None:
        error.canonical_code, error.message = why.number, why.message
        client.tell(p4r.StreamMessageResponse(error=error))


def _path_news(news: News) -> p4r.StreamMessageResponse:
    said = Struct()
    said.update(news)
    message = p4r.StreamMessageResponse()
    message.other.Pack(said)
    return message


def not_this_device(asked: int, own: int) -> Rejected:
    return Rejected(grpc.StatusCode.NOT_FOUND, f"device {asked} is not here; this is {own}")


def _egress_port(pipeline: Pipeline, packet: p4r.PacketOut) -> int:
    field = pipeline.packet_out.get("egress_port")
    values = {item.metadata_id: item.value for item in packet.metadata}
    if field is None or field.id not in values:
        raise invalid("a packet-out has metadata egress_port")
    return to_int(values[field.id], field.bits, "egress_port")
