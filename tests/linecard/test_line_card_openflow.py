"""The line card's end of the switch's local socket, against a switch that chooses its transaction ids at will."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.linecard.openflow import OpenFlowSocket, coding, ofproto, parser

HEADER = struct.Struct("!BBHI")
BARRIER = parser.OFPBarrierRequest
SWITCHES_OWN = {
    "hello": (ofproto.OFPT_HELLO, b""),
    "echo": (ofproto.OFPT_ECHO_REQUEST, b""),
    "port status": (ofproto.OFPT_PORT_STATUS, struct.pack("!B7x64x", ofproto.OFPPR_MODIFY)),
}


class Peer:
    """Says of its own accord what it is told to say, under the id of each request, before it answers that."""

    def __init__(self, own: tuple[int, bytes]) -> None:
        self._own = own

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while header := await reader.read(HEADER.size):
            _, kind, length, xid = HEADER.unpack(header)
            await reader.readexactly(length - HEADER.size)
            if kind == ofproto.OFPT_BARRIER_REQUEST:
                self._send(writer, *self._own, xid)
                self._send(writer, ofproto.OFPT_BARRIER_REPLY, b"", xid)

    @staticmethod
    def _send(writer: asyncio.StreamWriter, kind: int, body: bytes, xid: int) -> None:
        writer.write(HEADER.pack(ofproto.OFP_VERSION, kind, HEADER.size + len(body), xid) + body)


@pytest.fixture(params=SWITCHES_OWN)
async def stream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenFlowSocket]:
    path = str(tmp_path / "switch.sock")
    server = await asyncio.start_unix_server(Peer(SWITCHES_OWN[request.param]).serve, path)
    connected = await OpenFlowSocket.connect(path)
    yield connected
    await connected.close()
    server.close()


async def test_what_the_switch_says_of_its_own_accord_answers_nothing(stream: OpenFlowSocket) -> None:
    """Ids are each side's own: the switch's first words may bear that of our first request."""
    (answer,) = await stream.ask(BARRIER(coding))
    assert isinstance(answer, parser.OFPBarrierReply)
