"""One P4Runtime control session: a channel, its arbitration stream and calls with deadlines.

A session is used once. It knows nothing of entries or of reconnecting; `p4runtime.py` does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import grpc
from finsy.grpcutil import GRPC_EOF
from finsy.proto import U128, p4r, p4r_grpc, rpc_code, rpc_status

CALL_DEADLINE_S = 10.0
PUSH_DEADLINE_S = 30.0
ARBITRATION_DEADLINE_S = 5.0

_OPTIONS = (
    # A channel of its own: a shared one would carry the library's back-off over to the next attempt.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 1 << 20),  # per-update errors of a full batch come as one trailer
)

_UNREADABLE = frozenset({"UNIMPLEMENTED", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "UNKNOWN"})
"""Codes that speak of what was asked for, not of the connection. UNKNOWN: BMv2 has not the program it says it has."""


class SessionLost(Exception):
    """The control stream ended, or cannot be had."""


class ElectionIdTaken(SessionLost):
    """Somebody else is connected with our election id."""


class ReadRefused(Exception):
    """The device is there and does not serve this read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class UpdateError:
    """Why one update of a write failed."""

    index: int
    code: str
    message: str


class WriteFailed(Exception):
    """A write as a whole failed: no word on its single updates, any of them may stand."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class P4RuntimeSession:
    """A connection to one device, as an async context."""

    def __init__(
        self, address: str, device_id: int, election_id: int, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        self._device_id = device_id
        self._election_id = U128.encode(election_id)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
        self._stub = p4r_grpc.P4RuntimeStub(self._channel)
        self._stream = cast(Any, self._stub.StreamChannel)()
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.cancel()
        await self._channel.close(None)

    async def arbitrate(self) -> p4r.MasterArbitrationUpdate:
        """Ask to become primary; returns the device's first answer. Raises `SessionLost`."""
        bid = p4r.MasterArbitrationUpdate(device_id=self._device_id, election_id=self._election_id)
        try:
            async with asyncio.timeout(ARBITRATION_DEADLINE_S):
                await self._send(p4r.StreamMessageRequest(arbitration=bid))
                async for message in self.messages():
                    if message.HasField("arbitration"):
                        return message.arbitration
        except TimeoutError:
            raise SessionLost("no answer to the arbitration request") from None
        raise SessionLost("stream ended during arbitration")

    async def messages(self) -> AsyncIterator[p4r.StreamMessageResponse]:
        """What the device sends by itself; ends by raising `SessionLost`."""
        while True:
            try:
                message = await self._stream.read()
            except grpc.RpcError as error:
                lost = ElectionIdTaken if _code(error) == "INVALID_ARGUMENT" else SessionLost
                raise lost(_words(error)) from None
            if message is GRPC_EOF:
                raise SessionLost("the device ended the stream")
            yield message

    async def send_packet(self, packet: p4r.PacketOut) -> None:
        """Raises `SessionLost`."""
        try:
            async with asyncio.timeout(CALL_DEADLINE_S):
                await self._send(p4r.StreamMessageRequest(packet=packet))
        except TimeoutError:
            raise SessionLost("the device takes no packet-out") from None

    async def _send(self, message: p4r.StreamMessageRequest) -> None:
        async with self._sending:  # one write at a time is the library's limit
            try:
                await self._stream.write(message)
            except grpc.RpcError as error:
                raise SessionLost(_words(error)) from None
            except asyncio.InvalidStateError as error:  # the call is over
                raise SessionLost(str(error)) from None

    async def capabilities(self) -> p4r.CapabilitiesResponse | None:
        """None where the device does not know the call."""
        request = p4r.CapabilitiesRequest()
        try:
            response: p4r.CapabilitiesResponse = await _unary(self._stub.Capabilities, request, CALL_DEADLINE_S)
        except grpc.RpcError as error:
            if _code(error) == "UNIMPLEMENTED":
                return None
            raise SessionLost(_words(error)) from None
        return response

    async def cookie(self) -> int | None:
        """Cookie of the pipeline in place; None where there is no pipeline."""
        request = p4r.GetForwardingPipelineConfigRequest(
            device_id=self._device_id, response_type=p4r.GetForwardingPipelineConfigRequest.COOKIE_ONLY
        )
        try:
            response = await _unary(self._stub.GetForwardingPipelineConfig, request, CALL_DEADLINE_S)
        except grpc.RpcError as error:
            if _code(error) in ("FAILED_PRECONDITION", "NOT_FOUND"):
                return None
            raise SessionLost(_words(error)) from None
        return response.config.cookie.cookie if response.config.HasField("cookie") else None

    async def push(self, config: p4r.ForwardingPipelineConfig) -> None:
        """Verify and commit a pipeline; every table starts empty after it. Raises `SessionLost`."""
        action = p4r.SetForwardingPipelineConfigRequest.VERIFY_AND_COMMIT
        try:
            await self._set_pipeline(action, config)
        except grpc.RpcError as error:
            if _code(error) != "UNKNOWN":
                raise SessionLost(f"pipeline refused: {_words(error)}") from None
            # A push that somebody saved or that failed half-way keeps BMv2 from taking another one until a commit.
            with contextlib.suppress(grpc.RpcError):
                await self._set_pipeline(p4r.SetForwardingPipelineConfigRequest.COMMIT)
            try:
                await self._set_pipeline(action, config)
            except grpc.RpcError as again:
                raise SessionLost(f"pipeline refused: {_words(again)}") from None

    async def _set_pipeline(
        self,
        action: p4r.SetForwardingPipelineConfigRequest.Action.ValueType,
        config: p4r.ForwardingPipelineConfig | None = None,
    ) -> None:
        request = p4r.SetForwardingPipelineConfigRequest(
            device_id=self._device_id, election_id=self._election_id, action=action, config=config
        )
        await _unary(self._stub.SetForwardingPipelineConfig, request, PUSH_DEADLINE_S)

    async def write(self, updates: Sequence[p4r.Update]) -> list[UpdateError]:
        """Write a batch; returns what was refused one by one. Raises `WriteFailed`."""
        request = p4r.WriteRequest(device_id=self._device_id, election_id=self._election_id, updates=updates)
        try:
            await _unary(self._stub.Write, request, CALL_DEADLINE_S)
        except grpc.RpcError as error:
            errors = _update_errors(error)
            if len(errors) != len(updates):
                raise WriteFailed(_code(error), _words(error)) from None
            return [refused for refused in errors if refused.code != "OK"]
        return []

    async def read(self, entities: Sequence[p4r.Entity]) -> list[p4r.Entity]:
        """Raises `SessionLost`, `ReadRefused`."""
        request = p4r.ReadRequest(device_id=self._device_id, entities=entities)
        found: list[p4r.Entity] = []
        try:
            async for response in cast(Any, self._stub.Read)(request, timeout=CALL_DEADLINE_S):
                found.extend(response.entities)
        except grpc.RpcError as error:
            if _code(error) in _UNREADABLE:
                raise ReadRefused(_code(error), _words(error)) from None
            raise SessionLost(_words(error)) from None
        return found


async def _unary(method: Any, request: Any, deadline_s: float) -> Any:
    call: Awaitable[Any] = method(request, timeout=deadline_s)
    return await call


def _code(error: grpc.RpcError) -> str:
    return str(error.code().name) if isinstance(error, grpc.aio.AioRpcError) else "UNKNOWN"


def _words(error: grpc.RpcError) -> str:
    return f"{_code(error)} {error.details() or ''}".strip() if isinstance(error, grpc.aio.AioRpcError) else str(error)


def _update_errors(error: grpc.RpcError) -> list[UpdateError]:
    """The per-update results in the trailer `grpc-status-details-bin` (P4Runtime, "Error Reporting Messages")."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return []
    raw = dict(cast(Any, error.trailing_metadata()) or ()).get("grpc-status-details-bin")
    if not isinstance(raw, bytes):
        return []
    errors = []
    for index, detail in enumerate(rpc_status.Status.FromString(raw).details):
        outcome = p4r.Error()
        if detail.Unpack(outcome):
            code = rpc_code.Code.Name(cast(Any, outcome.canonical_code))
            errors.append(UpdateError(index, code, outcome.message))
    return errors
