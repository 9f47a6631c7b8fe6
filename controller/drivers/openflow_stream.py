"""The event loop's end of one OpenFlow stream: requests with deadlines, errors, keepalive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from controller.core.errors import DeviceUnreachable
from controller.drivers.osken_native import NativeDatapath, ofproto, parser

Message: TypeAlias = Any
"""An os-ken message; the library has no types."""

UNASKED = (parser.OFPHello, parser.OFPEchoRequest, parser.OFPPacketIn, parser.OFPFlowRemoved, parser.OFPPortStatus)
"""The switch's own messages: a transaction id of its choice may be that of a request of ours."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, by the monotonic clock."""

    deadline_s: float = 5.0
    """For the answer to any request."""
    echo_interval_s: float = 1.0
    echo_misses: int = 3
    """So many intervals without a word from the switch end the stream."""


@dataclass(frozen=True, slots=True)
class SwitchError:
    """An OFPT_ERROR message (OpenFlow 1.3.5, 7.4.4)."""

    type: int
    code: int

    @property
    def name(self) -> str:
        """`OFPET_METER_MOD_FAILED/OFPMMFC_METER_EXISTS`; numbers where the names are not known."""
        kind = ofproto.ofp_error_type_to_str(self.type).split("(")[0]
        return f"{kind}/{ofproto.ofp_error_code_to_str(self.type, self.code).split('(')[0]}"

    def among(self, kind: int, *codes: int) -> bool:
        return self.type == kind and self.code in codes


class RequestRefused(Exception):
    """The switch answered a request with an error."""

    def __init__(self, error: SwitchError) -> None:
        super().__init__(error.name)
        self.error = error


@dataclass(slots=True)
class _Request:
    answer: asyncio.Future[list[Message]]
    parts: list[Message] = field(default_factory=list)


class SwitchStream:
    """Used in the event loop's thread only. Calls raise `DeviceUnreachable` on a dead stream or a missed deadline."""

    def __init__(self, device: str, datapath: NativeDatapath, timing: Timing) -> None:
        self.device = device
        self.datapath = datapath
        self._timing = timing
        self._requests: dict[int, _Request] = {}
        self._errors: dict[int, SwitchError | None] = {}
        self._alive = True
        self._silent_intervals = 0
        self._keepalive = asyncio.create_task(self._probe())

    def send(self, message: Message) -> int:
        """Queue a message; returns its transaction id."""
        if not self._alive:
            raise DeviceUnreachable(self.device, "the OpenFlow stream is down")
        xid: int = self.datapath.set_xid(message)
        self.datapath.send_msg(message)
        return xid

    async def ask(self, message: Message) -> list[Message]:
        """Send a request and wait for its reply, all parts of it. Raises `RequestRefused`."""
        request = _Request(asyncio.get_running_loop().create_future())
        xid = self.send(message)
        self._requests[xid] = request
        try:
            async with asyncio.timeout(self._timing.deadline_s):  # unlike `wait_for` it loses no cancellation
                return await request.answer
        except TimeoutError:
            what = type(message).__name__
            raise DeviceUnreachable(self.device, f"no answer to {what} in {self._timing.deadline_s} s") from None
        finally:
            del self._requests[xid]

    async def transact(self, messages: Sequence[Message]) -> list[SwitchError | None]:
        """Send messages and a barrier; returns, once that is answered, what became of each message."""
        sent: list[int] = []
        try:
            for message in messages:
                sent.append(self.send(message))
                self._errors[sent[-1]] = None
            await self.ask(parser.OFPBarrierRequest(self.datapath))
            return [self._errors[xid] for xid in sent]
        finally:
            for xid in sent:
                self._errors.pop(xid, None)

    def received(self, message: Message) -> None:
        """A message of the switch that may answer one of ours."""
        self._silent_intervals = 0
        request = self._requests.get(message.xid)
        if isinstance(message, parser.OFPErrorMsg):
            self._refused(message, request)
        elif request is not None and not request.answer.done() and not isinstance(message, UNASKED):
            request.parts.append(message)
            if not getattr(message, "flags", 0) & ofproto.OFPMPF_REPLY_MORE:
                request.answer.set_result(request.parts)

    def _refused(self, message: Message, request: _Request | None) -> None:
        # An experimenter error has no code; its own type is the nearest thing.
        error = SwitchError(message.type, message.code if message.code is not None else message.exp_type)
        if request is not None and not request.answer.done():
            request.answer.set_exception(RequestRefused(error))
        elif message.xid in self._errors:
            self._errors[message.xid] = error
        else:
            log.warning("%s: %s", self.device, error.name)

    def hang_up(self) -> None:
        """End the stream; `lost()` follows when os-ken has seen it."""
        self.datapath.hang_up()

    def lost(self) -> None:
        """The stream is gone: whoever waits hears it now."""
        self._alive = False
        self._keepalive.cancel()
        for request in self._requests.values():
            if not request.answer.done():
                request.answer.set_exception(DeviceUnreachable(self.device, "the OpenFlow stream was lost"))

    async def _probe(self) -> None:
        """A switch may die without a word; TCP would tell minutes later, a Unix socket never."""
        while self._silent_intervals < self._timing.echo_misses:
            self._silent_intervals += 1
            self.send(parser.OFPEchoRequest(self.datapath))
            await asyncio.sleep(self._timing.echo_interval_s)
        log.warning("%s: silent for %d echo intervals, hanging up", self.device, self._timing.echo_misses)
        self.hang_up()
