"""The P4Runtime service of one device."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn, TypeVar

import grpc
from finsy.proto import U128, p4r, p4r_grpc, rpc_status
from google.protobuf.struct_pb2 import Struct

from controller.linux import codec, contract
from controller.linux.arbitration import Arbitration
from controller.linux.forwarding import REACHED_BY, Forwarding, Update
from controller.linux.kernel import KernelError
from controller.linux.pipeline import Pipeline
from controller.linux.protection import WATCHED_BY
from controller.linux.rejected import Rejected, unimplemented, unmet
from controller.linux.stream import Client, Streams, not_this_device

log = logging.getLogger(__name__)

P4RUNTIME_VERSION = "1.4.0"
CAPABILITIES: Mapping[str, bool | int | str] = {
    "shaping": True,
    "liveness": "REMOTE",
    "maxCarriers": 3,
    "mtuBytes": 9000,
    "resolvesNeighbors": True,
    "fenced": True,
}
"""In the `experimental` field of the Capabilities response, as a google.protobuf.Struct."""

_READ_CHUNK = 500
_DETAILS = "grpc-status-details-bin"
_T = TypeVar("_T")
_Actions = p4r.SetForwardingPipelineConfigRequest
_Context = grpc.aio.ServicerContext[Any, Any]


class P4RuntimeServer(p4r_grpc.P4RuntimeServicer):
    """One device, one pipeline configuration, one thread that talks to the kernel."""

    def __init__(self, device_id: int, forwarding: Forwarding, streams: Streams, arbitration: Arbitration) -> None:
        self._device_id = device_id
        self._forwarding = forwarding
        self._streams = streams
        self._arbitration = arbitration
        self._kernel = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kernel")

    # ---- streams

    async def StreamChannel(  # noqa: N802
        self, requests: AsyncIterator[p4r.StreamMessageRequest], context: _Context
    ) -> AsyncIterator[p4r.StreamMessageResponse]:
        client = Client()
        serving = asyncio.create_task(self._streams.serve(requests, client))
        try:
            async for message in _until_done(client, serving):
                yield message
            await serving
        except Rejected as rejected:
            await _abort(context, rejected)
        finally:
            serving.cancel()
            self._streams.leave(client)

    # ---- pipeline configuration

    async def SetForwardingPipelineConfig(  # noqa: N802
        self, request: p4r.SetForwardingPipelineConfigRequest, context: _Context
    ) -> p4r.SetForwardingPipelineConfigResponse:
        try:
            self._fence(request.device_id, request.role, request.election_id)
            if request.action not in (_Actions.VERIFY, _Actions.VERIFY_AND_COMMIT, _Actions.RECONCILE_AND_COMMIT):
                raise unimplemented("actions are VERIFY, VERIFY_AND_COMMIT and RECONCILE_AND_COMMIT")
            pipeline = Pipeline(request.config)
            contract.check(pipeline)
            if request.action != _Actions.VERIFY:
                # Entries that stand in the kernel are left alone: they are of the same contract.
                await self._in_turn(self._forwarding.restore_tables)
                self._streams.pipeline = pipeline
        except Rejected as rejected:
            await _abort(context, rejected)
        return p4r.SetForwardingPipelineConfigResponse()

    async def GetForwardingPipelineConfig(  # noqa: N802
        self, request: p4r.GetForwardingPipelineConfigRequest, context: _Context
    ) -> p4r.GetForwardingPipelineConfigResponse:
        try:
            self._require_device(request.device_id)
            config = self._pipeline().config
        except Rejected as rejected:
            await _abort(context, rejected)
        answer = p4r.GetForwardingPipelineConfigResponse()
        kind = request.response_type
        if kind != p4r.GetForwardingPipelineConfigRequest.COOKIE_ONLY:
            answer.config.CopyFrom(config)
        else:
            answer.config.cookie.CopyFrom(config.cookie)
        if kind == p4r.GetForwardingPipelineConfigRequest.P4INFO_AND_COOKIE:
            answer.config.ClearField("p4_device_config")
        elif kind == p4r.GetForwardingPipelineConfigRequest.DEVICE_CONFIG_AND_COOKIE:
            answer.config.ClearField("p4info")
        return answer

    # ---- entries

    async def Write(self, request: p4r.WriteRequest, context: _Context) -> p4r.WriteResponse:  # noqa: N802
        try:
            self._fence(request.device_id, request.role, request.election_id)
            if request.atomicity != p4r.WriteRequest.CONTINUE_ON_ERROR:
                raise Rejected(grpc.StatusCode.UNIMPLEMENTED, "batches go on after an error")
            rejected = await self._in_turn(partial(self._write, self._pipeline(), request))
        except Rejected as whole:
            await _abort(context, whole)
        if rejected:
            position, why = next(iter(rejected.items()))
            log.info("%d of %d updates refused; update %d: %s", len(rejected), len(request.updates), position, why)
            await _abort_batch(context, len(request.updates), rejected)
        return p4r.WriteResponse()

    def _write(self, pipeline: Pipeline, request: p4r.WriteRequest) -> dict[int, Rejected]:
        # Again: while this write waited, another controller may have become primary.
        self._fence(request.device_id, request.role, request.election_id)
        rejected: dict[int, Rejected] = {}
        positions: list[int] = []
        updates: list[Update] = []
        for position, update in enumerate(request.updates):
            try:
                updates.append(codec.decode_update(pipeline, update))
                positions.append(position)
            except Rejected as why:
                rejected[position] = why
        refused = self._forwarding.write(updates)
        if not REACHED_BY.isdisjoint(update.entry.table for update in updates):
            self._streams.hear_stamp(*self._forwarding.reached())
        if not WATCHED_BY.isdisjoint(update.entry.table for update in updates):
            self._streams.follow_paths()
        return rejected | {positions[index]: why for index, why in refused.items()}

    async def Read(  # noqa: N802
        self, request: p4r.ReadRequest, context: _Context
    ) -> AsyncIterator[p4r.ReadResponse]:
        try:
            self._require_device(request.device_id)
            pipeline = self._pipeline()
            entities = await self._in_turn(partial(self._read, pipeline, request))
        except Rejected as rejected:
            await _abort(context, rejected)
        for start in range(0, len(entities), _READ_CHUNK):
            yield p4r.ReadResponse(entities=entities[start : start + _READ_CHUNK])

    def _read(self, pipeline: Pipeline, request: p4r.ReadRequest) -> list[p4r.Entity]:
        standing = self._forwarding.standing()
        return [found for asked in request.entities for found in codec.read(pipeline, standing, asked)]

    async def Capabilities(  # noqa: N802
        self, request: p4r.CapabilitiesRequest, context: _Context
    ) -> p4r.CapabilitiesResponse:
        answer = p4r.CapabilitiesResponse(p4runtime_api_version=P4RUNTIME_VERSION)
        announced = Struct()
        announced.update(dict(CAPABILITIES))
        answer.experimental.Pack(announced)
        return answer

    # ---- guards

    async def _in_turn(self, call: Callable[[], _T]) -> _T:
        """One exchange with the kernel after the other; one that its caller gave up still ends before the next."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._kernel, call)
        except KernelError as error:
            raise Rejected(grpc.StatusCode.INTERNAL, str(error)) from error

    def _require_device(self, device_id: int) -> None:
        if device_id != self._device_id:
            raise not_this_device(device_id, self._device_id)

    def _fence(self, device_id: int, role: str, election_id: p4r.Uint128) -> None:
        self._require_device(device_id)
        self._arbitration.fence(role, U128.decode(election_id))

    def _pipeline(self) -> Pipeline:
        if self._streams.pipeline is None:
            raise unmet("no pipeline configuration is set")
        return self._streams.pipeline


async def _until_done(client: Client, serving: asyncio.Task[None]) -> AsyncIterator[p4r.StreamMessageResponse]:
    """The client's messages until its side of the stream ends."""
    while not serving.done():
        waiting = asyncio.create_task(client.outgoing.get())
        try:
            await asyncio.wait((waiting, serving), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                yield waiting.result()
        finally:
            waiting.cancel()


async def _abort(context: _Context, rejected: Rejected) -> NoReturn:
    await context.abort(rejected.code, rejected.message)
    raise AssertionError("abort raises")


async def _abort_batch(context: _Context, count: int, rejected: dict[int, Rejected]) -> NoReturn:
    """UNKNOWN with one p4.v1.Error per update, OK ones included (P4Runtime 1.4, 12.3)."""
    status = rpc_status.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=f"{len(rejected)} of {count} failed")
    for position in range(count):
        why = rejected.get(position)
        error = p4r.Error(canonical_code=why.number if why else 0, message=why.message if why else "")
        status.details.add().Pack(error)
    context.set_trailing_metadata(((_DETAILS, status.SerializeToString()),))
    await context.abort(grpc.StatusCode.UNKNOWN, status.message)
    raise AssertionError("abort raises")
