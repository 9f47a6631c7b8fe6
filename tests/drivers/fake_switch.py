"""An OpenFlow 1.3 switch of a few lines. Replies are packed by the standard's layouts, flows read by os-ken."""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.drivers.osken_native import ofproto, parser

VERSION = 4
HEADER = struct.Struct("!BBHI")


@dataclass(frozen=True)
class Request:
    """What the controller sent: OFPT_…, transaction id, everything after the header."""

    kind: int
    xid: int
    body: bytes

    def flow(self) -> Any:
        assert self.kind == ofproto.OFPT_FLOW_MOD
        head = HEADER.pack(VERSION, self.kind, HEADER.size + len(self.body), self.xid)
        return parser.OFPFlowMod.parser(None, VERSION, self.kind, len(head + self.body), self.xid, head + self.body)


def port_desc(down: bool = False) -> bytes:
    """Port 1 (struct ofp_port); state OFPPS_LINK_DOWN or none."""
    return struct.pack("!I4x6s2x16s8I", 1, b"\x02\0\0\0\0\1", b"eth1", 0, int(down), *[0] * 6)


class FakeSwitch:
    """Answers what a switch must; `refuse` and `mute` make it a bad one. Everything it was sent is in `heard`."""

    def __init__(self, datapath_id: int) -> None:
        self.datapath_id = datapath_id
        self.heard: list[Request] = []
        self.refuse: Callable[[Request], tuple[int, int] | None] = lambda request: None
        self.mute: Callable[[Request], bool] = lambda request: False
        self.hung_up = asyncio.Event()
        self._writer: asyncio.StreamWriter

    async def call(self, path: str) -> None:
        reader, self._writer = await asyncio.open_unix_connection(path)
        self.send(ofproto.OFPT_HELLO, 0)
        self._task = asyncio.create_task(self._serve(reader))

    def send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._writer.write(HEADER.pack(VERSION, kind, HEADER.size + len(body), xid) + body)

    def close(self) -> None:
        self._writer.close()

    def sent(self, kind: int) -> list[Request]:
        return [request for request in self.heard if request.kind == kind]

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                _, kind, length, xid = HEADER.unpack(await reader.readexactly(HEADER.size))
                self._answer(Request(kind, xid, await reader.readexactly(length - HEADER.size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up.set()

    def _answer(self, request: Request) -> None:
        self.heard.append(request)
        if self.mute(request):
            return
        kind, xid, body = request.kind, request.xid, request.body
        if error := self.refuse(request):
            culprit = HEADER.pack(VERSION, kind, HEADER.size + len(body), xid) + body
            self.send(ofproto.OFPT_ERROR, xid, struct.pack("!HH", *error) + culprit[:64])
        elif kind == ofproto.OFPT_FEATURES_REQUEST:
            self.send(ofproto.OFPT_FEATURES_REPLY, xid, struct.pack("!QIBB2xII", self.datapath_id, 0, 254, 0, 0, 0))
        elif kind == ofproto.OFPT_MULTIPART_REQUEST:
            self.send(ofproto.OFPT_MULTIPART_REPLY, xid, body[:2] + bytes(6) + self._multipart(body[:2]))
        elif kind == ofproto.OFPT_ROLE_REQUEST:
            self.send(ofproto.OFPT_ROLE_REPLY, xid, body)
        elif kind in (ofproto.OFPT_ECHO_REQUEST, ofproto.OFPT_BARRIER_REQUEST):
            self.send(kind + 1, xid)

    def _multipart(self, kind: bytes) -> bytes:
        """One port, up; no flows and no meters."""
        if int.from_bytes(kind, "big") != ofproto.OFPMP_PORT_DESC:
            return b""
        return port_desc()
