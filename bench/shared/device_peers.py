"""Peers that a controller can hold as devices, over real sockets: a program of its own, for a processor of its own.

device_peers.py DIRECTORY ROUTERS OTN_NODES

P4Runtime servers at DIRECTORY/r<i>, line cards at DIRECTORY/l<i>, and OpenFlow switches that call DIRECTORY/openflow
with the datapath ids 1…; each takes what it is sent, keeps it, and says so. Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
from finsy.proto import p4r, p4r_grpc, rpc_code, rpc_status
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct

from controller.drivers.osken_native import ofproto
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc

OPENFLOW = "openflow"
CAPABILITIES = {
    "shaping": True,
    "liveness": "REMOTE",
    "maxCarriers": 3,
    "mtuBytes": 9000,
    "resolvesNeighbors": True,
    "fenced": True,
}
HEADER = struct.Struct("!BBHI")
PORTS = 32
PATIENT = (("grpc.http2.max_ping_strikes", 0), ("grpc.keepalive_permit_without_calls", 1))
"""However often somebody asks whether it is there."""


class Router(p4r_grpc.P4RuntimeServicer):
    """Tables and meter cells by what identifies them."""

    def __init__(self) -> None:
        self._cookie: p4r.ForwardingPipelineConfig.Cookie | None = None
        self._held: dict[tuple[int, bytes], p4r.Entity] = {}

    async def StreamChannel(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            if request.HasField("arbitration"):
                status = rpc_status.Status(code=rpc_code.OK)
                asked = request.arbitration
                update = p4r.MasterArbitrationUpdate(
                    device_id=asked.device_id, election_id=asked.election_id, status=status
                )
                yield p4r.StreamMessageResponse(arbitration=update)

    async def Capabilities(self, request: Any, context: Any) -> Any:  # noqa: N802
        announced, response = Struct(), p4r.CapabilitiesResponse(p4runtime_api_version="1.3.0")
        announced.update(CAPABILITIES)
        wrapped = AnyMessage()
        wrapped.Pack(announced)
        response.experimental.CopyFrom(wrapped)
        return response

    async def GetForwardingPipelineConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self._cookie is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no program")
        return p4r.GetForwardingPipelineConfigResponse(config=p4r.ForwardingPipelineConfig(cookie=self._cookie))

    async def SetForwardingPipelineConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._cookie = request.config.cookie
        return p4r.SetForwardingPipelineConfigResponse()

    async def Write(self, request: Any, context: Any) -> Any:  # noqa: N802
        for update in request.updates:
            key = _key(update.entity)
            if update.type == p4r.Update.DELETE:
                self._held.pop(key, None)
            else:
                self._held[key] = update.entity
        return p4r.WriteResponse()

    async def Read(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        for wanted in request.entities:
            yield p4r.ReadResponse(entities=list(self._found(wanted)))

    def _found(self, wanted: p4r.Entity) -> Iterator[p4r.Entity]:
        if wanted.HasField("meter_entry") and wanted.meter_entry.HasField("index"):
            held = self._held.get(_key(wanted))
            yield held if held is not None else wanted
            return
        number = wanted.meter_entry.meter_id or wanted.table_entry.table_id
        if not wanted.table_entry.is_default_action:
            yield from (entity for (kind, _), entity in self._held.items() if kind == number)


def _key(entity: p4r.Entity) -> tuple[int, bytes]:
    if entity.HasField("meter_entry"):
        return entity.meter_entry.meter_id, entity.meter_entry.index.SerializeToString()
    entry = entity.table_entry
    fields = sorted(entry.match, key=lambda field: field.field_id)
    return entry.table_id, b"".join(field.SerializeToString() for field in fields) + entry.priority.to_bytes(4, "big")


class LineCard(line_card_pb2_grpc.LineCardServicer):
    """Takes all slots and groups that it is given."""

    def __init__(self) -> None:
        self._version = 1
        self._holdings: dict[tuple[int, int], pb.Holding] = {}

    async def GetSlotTable(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.SlotTable(version=self._version, holdings=self._holdings.values())

    async def Apply(self, request: Any, context: Any) -> Any:  # noqa: N802
        for change in request.changes:
            if change.HasField("set"):
                self._holdings[change.set.slice_id, change.set.line_port] = change.set
            elif change.HasField("delete"):
                self._holdings.pop((change.delete.slice_id, change.delete.line_port), None)
        self._version += bool(request.changes)
        return pb.ApplyResponse(version=self._version)

    async def WatchProtection(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await asyncio.Event().wait()
        yield


class Switch:
    """One that obeys. It keeps nothing: a controller that is told that all was done has no reason to look."""

    def __init__(self, datapath_id: int, path: str) -> None:
        self._datapath_id = datapath_id
        self._path = path

    async def run(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._path)
        self._send(ofproto.OFPT_HELLO, 0)
        while True:
            _, kind, length, xid = HEADER.unpack(await reader.readexactly(HEADER.size))
            self._answer(kind, xid, await reader.readexactly(length - HEADER.size))

    def _send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._writer.write(HEADER.pack(ofproto.OFP_VERSION, kind, HEADER.size + len(body), xid) + body)

    def _answer(self, kind: int, xid: int, body: bytes) -> None:
        if kind == ofproto.OFPT_FEATURES_REQUEST:
            self._send(ofproto.OFPT_FEATURES_REPLY, xid, struct.pack("!QIBB2xII", self._datapath_id, 0, 254, 0, 0, 0))
        elif kind == ofproto.OFPT_MULTIPART_REQUEST:
            ports = int.from_bytes(body[:2], "big") == ofproto.OFPMP_PORT_DESC
            found = b"".join(_port(number) for number in range(1, PORTS + 1)) if ports else b""
            self._send(ofproto.OFPT_MULTIPART_REPLY, xid, body[:2] + bytes(6) + found)
        elif kind == ofproto.OFPT_ROLE_REQUEST:
            self._send(ofproto.OFPT_ROLE_REPLY, xid, body)
        elif kind in (ofproto.OFPT_ECHO_REQUEST, ofproto.OFPT_BARRIER_REQUEST):
            self._send(kind + 1, xid)


def _port(number: int) -> bytes:
    return struct.pack("!I4x6s2x16s8I", number, b"\x02\0\0\0\0" + bytes([number]), b"eth%d" % number, *[0] * 8)


async def main(directory: Path, routers: int, nodes: int) -> None:
    servers = []
    for prefix, count, make, add in (
        ("r", routers, Router, p4r_grpc.add_P4RuntimeServicer_to_server),
        ("l", nodes, LineCard, line_card_pb2_grpc.add_LineCardServicer_to_server),
    ):
        for number in range(1, count + 1):
            server = grpc.aio.server(options=PATIENT)
            add(make(), server)
            server.add_insecure_port(f"unix:{directory / f'{prefix}{number}'}")
            await server.start()
            servers.append(server)
    switches = [Switch(number, str(directory / OPENFLOW)) for number in range(1, nodes + 1)]
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # the controller listens
    tasks = [asyncio.create_task(switch.run()) for switch in switches]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, *(server.stop(None) for server in servers), return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
