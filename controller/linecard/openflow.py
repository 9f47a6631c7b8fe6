"""OpenFlow 1.3 on a switch's local socket: one connection, in the event loop, without a thread.

Messages are the OpenFlow library's; of the library only the coding is used.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from os_ken.exception import OSKenException
from os_ken.ofproto import ofproto_parser
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

__all__ = ["Message", "OpenFlowSocket", "SwitchLost", "coding", "ofproto", "parser"]

Message: TypeAlias = Any
"""The library has no types."""

DEADLINE_S = 2.0
UNASKED = (
    parser.OFPHello,
    parser.OFPEchoRequest,
    parser.OFPPacketIn,
    parser.OFPFlowRemoved,
    parser.OFPPortStatus,
)
"""Sent by the switch of its own accord, under transaction ids of its own: any of them may equal one of ours."""
_HEADER = struct.Struct("!BBHI")

log = logging.getLogger(__name__)


class SwitchLost(Exception):
    """The switch has hung up, or does not answer."""


@dataclass(frozen=True, slots=True)
class _Coding:
    """What messages need to know of a datapath."""

    ofproto: Any = ofproto
    ofproto_parser: Any = parser
    id: int = 0


coding = _Coding()


@dataclass(slots=True)
class _Question:
    answer: asyncio.Future[list[Message]]
    parts: list[Message] = field(default_factory=list)


class OpenFlowSocket:
    """One connection. It is made by `connect`, and over when `closed` is done."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._xids = count(1)
        self._questions: dict[int, _Question] = {}
        self._errors: dict[int, str | None] = {}
        self.closed = asyncio.create_task(self._receive())

    @classmethod
    async def connect(cls, path: str) -> OpenFlowSocket:
        """Raises OSError where nothing listens."""
        stream = cls(*await asyncio.open_unix_connection(path))
        stream.send(parser.OFPHello(coding))
        return stream

    def send(self, message: Message) -> int:
        """Queued by the kernel at once; returns its transaction id. On a lost connection it goes nowhere."""
        xid = next(self._xids) & 0xFFFFFFFF
        message.set_xid(xid)
        message.serialize()
        self._writer.write(bytes(message.buf))
        return xid

    async def ask(self, message: Message) -> list[Message]:
        """All parts of the answer. Raises `SwitchLost`; a request that is refused has no parts."""
        question = _Question(asyncio.get_running_loop().create_future())
        xid = self.send(message)
        self._questions[xid] = question
        if self.closed.done():
            del self._questions[xid]
            raise SwitchLost("hung up")
        try:
            async with asyncio.timeout(DEADLINE_S):  # unlike `wait_for` it loses no cancellation
                return await question.answer
        except TimeoutError:
            raise SwitchLost(f"no answer to {type(message).__name__} in {DEADLINE_S} s") from None
        finally:
            del self._questions[xid]

    async def transact(self, messages: Sequence[Message]) -> list[str]:
        """Send, and wait for the barrier behind; the errors. Raises `SwitchLost`."""
        sent = [self.send(message) for message in messages]
        self._errors.update(dict.fromkeys(sent))
        try:
            await self.ask(parser.OFPBarrierRequest(coding))
            return [error for xid in sent if (error := self._errors[xid]) is not None]
        finally:
            for xid in sent:
                del self._errors[xid]

    async def close(self) -> None:
        self.closed.cancel()
        await asyncio.wait([self.closed])

    async def _receive(self) -> None:
        try:
            while True:
                header = await self._reader.readexactly(_HEADER.size)
                version, kind, length, xid = _HEADER.unpack(header)
                body = await self._reader.readexactly(length - _HEADER.size)
                if version == ofproto.OFP_VERSION:
                    self._received(ofproto_parser.msg(coding, version, kind, length, xid, header + body))
        except (OSError, asyncio.IncompleteReadError, OSKenException, ValueError) as error:
            log.debug("the switch's socket: %s", error)
        finally:
            self._writer.close()
            for question in self._questions.values():
                if not question.answer.done():
                    question.answer.set_exception(SwitchLost("hung up"))

    def _received(self, message: Message) -> None:
        question = self._questions.get(message.xid)
        if isinstance(message, parser.OFPEchoRequest):
            self._echo(message)
        elif isinstance(message, parser.OFPErrorMsg):
            self._refused(message, question)
        elif question is not None and not question.answer.done() and not isinstance(message, UNASKED):
            question.parts.append(message)
            if not getattr(message, "flags", 0) & ofproto.OFPMPF_REPLY_MORE:
                question.answer.set_result(question.parts)

    def _echo(self, request: Message) -> None:
        reply = parser.OFPEchoReply(coding, data=request.data or b"")
        reply.set_xid(request.xid)
        reply.serialize()
        self._writer.write(bytes(reply.buf))

    def _refused(self, message: Message, question: _Question | None) -> None:
        text = f"{ofproto.ofp_error_type_to_str(message.type)}, code {message.code}"
        if message.xid in self._errors:
            self._errors[message.xid] = text
        elif question is not None and not question.answer.done():
            question.answer.set_result([])
        else:
            log.warning("the switch refused: %s", text)
