# ruff: noqa: N802 (methods are named by the contract)
"""The gRPC face: the services of `proto/corridor/v1` over the use cases, with health and reflection."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, TypeAlias

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controller.api.codec import decode, encode
from controller.api.contract import MAX_MESSAGE_BYTES, merged, nested_paths, writable, writable_mask
from controller.api.controllers import SERVICE as CONTROLLERS
from controller.api.controllers import Alone, Controllers, Health, Standing
from controller.api.gen.corridor.v1 import (
    controllers_pb2_grpc,
    corridor_pb2,
    corridors_pb2,
    corridors_pb2_grpc,
    defragmentation_pb2,
    drift_pb2,
    maintenance_pb2,
    topologies_pb2,
    topologies_pb2_grpc,
    topology_pb2,
)
from controller.api.refusals import INTERNAL, answer, rpc_status
from controller.api.use_cases import CorridorService
from controller.core.errors import Invalid
from controller.core.model import Corridor, CorridorEvent

log = logging.getLogger(__name__)

SERVICES = (
    corridors_pb2.DESCRIPTOR.services_by_name["Corridors"].full_name,
    topologies_pb2.DESCRIPTOR.services_by_name["Topologies"].full_name,
    CONTROLLERS,
)
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class Answering:
    """Turns what is raised in its block into the call's status, with details."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
            return
        told = answer(error)
        if told is INTERNAL:
            log.error("a call failed", exc_info=error)
        await _abort(self._context, told.code, rpc_status(error))


async def _abort(context: Context, code: grpc.StatusCode, status: status_pb2.Status) -> None:
    metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, status.message, trailing_metadata=metadata)


class Corridors(corridors_pb2_grpc.CorridorsServicer):
    """`corridor.v1.Corridors`."""

    def __init__(self, service: CorridorService) -> None:
        self._service = service

    async def CreateCorridor(
        self, request: corridors_pb2.CreateCorridorRequest, context: Context
    ) -> corridor_pb2.Corridor:
        async with Answering(context):
            corridor = await self._service.create_corridor(
                request.parent,
                request.corridor_id,
                writable(decode(request.corridor, Corridor)),
                validate_only=request.validate_only,
                request_id=request.request_id,
            )
            return encode(corridor, corridor_pb2.Corridor)

    async def GetCorridor(self, request: corridors_pb2.GetCorridorRequest, context: Context) -> corridor_pb2.Corridor:
        async with Answering(context):
            return encode(await self._service.get_corridor(request.name), corridor_pb2.Corridor)

    async def ListCorridors(
        self, request: corridors_pb2.ListCorridorsRequest, context: Context
    ) -> corridors_pb2.ListCorridorsResponse:
        async with Answering(context):
            if request.page_size < 0:
                raise Invalid.field("page_size", "must not be negative")
            page, token = await self._service.list_corridors(request.parent, request.page_size, request.page_token)
            return corridors_pb2.ListCorridorsResponse(
                corridors=[encode(corridor, corridor_pb2.Corridor) for corridor in page], next_page_token=token
            )

    async def UpdateCorridor(
        self, request: corridors_pb2.UpdateCorridorRequest, context: Context
    ) -> corridor_pb2.Corridor:
        async with Answering(context):
            present = [descriptor.name for descriptor, _ in request.corridor.ListFields()]
            mask = writable_mask(request.update_mask.paths, present)
            corridor, etag = await self._merged(request)
            updated = await self._service.update_corridor(corridor, mask, etag=etag)
            return encode(updated, corridor_pb2.Corridor)

    async def _merged(self, request: corridors_pb2.UpdateCorridorRequest) -> tuple[Corridor, str]:
        """(corridor as it shall be, etag that it needs): what is merged into a field must be what that still is."""
        stated = writable(decode(request.corridor, Corridor))
        if not (nested := nested_paths(request.update_mask.paths)):
            return stated, stated.etag
        current = await self._service.changeable_corridor(stated.name)
        return merged(current, stated, nested), stated.etag or current.etag

    async def SwitchProfile(
        self, request: corridors_pb2.SwitchProfileRequest, context: Context
    ) -> corridor_pb2.Corridor:
        async with Answering(context):
            switched = await self._service.switch_profile(request.name, request.profile, etag=request.etag)
            return encode(switched, corridor_pb2.Corridor)

    async def DeleteCorridor(
        self, request: corridors_pb2.DeleteCorridorRequest, context: Context
    ) -> corridor_pb2.Corridor:
        async with Answering(context):
            deleted = await self._service.delete_corridor(request.name, etag=request.etag)
            return encode(deleted, corridor_pb2.Corridor)

    async def WatchCorridors(
        self, request: corridors_pb2.WatchCorridorsRequest, context: Context
    ) -> AsyncIterator[corridor_pb2.CorridorEvent]:
        async with Answering(context):
            if not request.WhichOneof("scope"):
                raise Invalid.field("parent", "or name is required")
            if request.name and not request.after_sequence:
                await self._service.get_corridor(request.name)
            parent = request.parent or request.name.partition("/corridors/")[0]
            await self._service.list_corridors(parent, 1)  # refuses what is no tenant
            async with aclosing(following(self._service, parent, request.after_sequence)) as events:
                async for event in events:
                    if request.name in ("", event.corridor.name):
                        yield encode(event, corridor_pb2.CorridorEvent)


async def following(service: CorridorService, parent: str, after_sequence: int) -> AsyncGenerator[CorridorEvent, None]:
    """The watch of `service`, closed with this generator: a caller that hangs up frees it at once."""
    events = service.watch_corridors(parent, after_sequence)
    try:
        async for event in events:
            yield event
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


class Topologies(topologies_pb2_grpc.TopologiesServicer):
    """`corridor.v1.Topologies`."""

    def __init__(self, service: CorridorService) -> None:
        self._service = service

    async def GetTopology(self, request: topologies_pb2.GetTopologyRequest, context: Context) -> topology_pb2.Topology:
        async with Answering(context):
            return encode(await self._service.get_topology(request.name), topology_pb2.Topology)

    async def Defragment(
        self, request: topologies_pb2.DefragmentRequest, context: Context
    ) -> defragmentation_pb2.Defragmentation:
        async with Answering(context):
            found = await self._service.defragment(request.name, request.max_moves, validate_only=request.validate_only)
            return encode(found, defragmentation_pb2.Defragmentation)

    async def GetDrift(self, request: topologies_pb2.GetDriftRequest, context: Context) -> drift_pb2.Drift:
        async with Answering(context):
            return encode(await self._service.get_drift(request.name, read_now=request.read_now), drift_pb2.Drift)

    async def Drain(self, request: topologies_pb2.DrainRequest, context: Context) -> maintenance_pb2.Draining:
        async with Answering(context):
            found = await self._service.drain(request.name, validate_only=request.validate_only)
            return encode(found, maintenance_pb2.Draining)

    async def Undrain(self, request: topologies_pb2.UndrainRequest, context: Context) -> maintenance_pb2.Draining:
        async with Answering(context):
            return encode(await self._service.undrain(request.name), maintenance_pb2.Draining)


def grpc_server(service: CorridorService, address: str, standing: Standing = Alone()) -> grpc.aio.Server:  # noqa: B008
    """A server bound to `address` (`127.0.0.1:50051`, `unix:/path`), not started. RuntimeError: it cannot be bound."""
    options = (
        ("grpc.so_reuseport", 0),  # a second controller on the same port must fail, not share its calls
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    )
    server = grpc.aio.server(options=options)
    corridors_pb2_grpc.add_CorridorsServicer_to_server(Corridors(service), server)
    topologies_pb2_grpc.add_TopologiesServicer_to_server(Topologies(service), server)
    controllers_pb2_grpc.add_ControllersServicer_to_server(Controllers(standing), server)
    health_pb2_grpc.add_HealthServicer_to_server(Health(standing, SERVICES), server)
    reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    server.add_insecure_port(address)
    return server
