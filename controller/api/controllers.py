# ruff: noqa: N802 (methods are named by the contract)
"""Who answers, who leads, and whether reads can be answered: by gRPC, REST, and for whoever probes.

Annotations are evaluated here as they stand, for FastAPI reads those of functions inside functions.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeAlias

import grpc
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from grpc_health.v1 import health_pb2, health_pb2_grpc

from controller.api.bodies import body_model
from controller.api.codec import encode
from controller.api.contract import value_json
from controller.api.gen.corridor.v1 import controllers_pb2, controllers_pb2_grpc
from controller.core.errors import Unavailable
from controller.core.leadership import Controller, Role

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
ControllerBody: Any = body_model(Controller)
SERVICE = controllers_pb2.DESCRIPTOR.services_by_name["Controllers"].full_name
WATCH_S = 0.5
"""Between two looks at what a health watcher was told last."""


class Standing(Protocol):
    """Where this controller stands among those that share its database."""

    def controller(self) -> Controller: ...

    async def unready(self) -> str:
        """Why reads cannot be answered; empty where they can."""
        ...


class Alone:
    """Of a controller that shares its database with nobody."""

    def controller(self) -> Controller:
        return Controller(role=Role.LEADER)

    async def unready(self) -> str:
        return ""


class Controllers(controllers_pb2_grpc.ControllersServicer):
    """`corridor.v1.Controllers`."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    async def GetController(
        self, request: controllers_pb2.GetControllerRequest, context: Context
    ) -> controllers_pb2.Controller:
        return encode(self._standing.controller(), controllers_pb2.Controller)


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """`grpc.health.v1.Health`: SERVING while reads can be answered. Leading is no part of it: a follower serves."""

    def __init__(self, standing: Standing, services: tuple[str, ...]) -> None:
        self._standing = standing
        self._services = services

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if not self._known(request):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return health_pb2.HealthCheckResponse(status=await self._status())

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        kinds, told = health_pb2.HealthCheckResponse, None
        while True:
            status = await self._status() if self._known(request) else kinds.SERVICE_UNKNOWN
            if status != told:
                yield kinds(status=status)
                told = status
            await asyncio.sleep(WATCH_S)  # a cancelled call ends here

    def _known(self, request: health_pb2.HealthCheckRequest) -> bool:
        return not request.service or request.service in self._services

    async def _status(self) -> Any:
        kinds = health_pb2.HealthCheckResponse
        return kinds.NOT_SERVING if await self._standing.unready() else kinds.SERVING


def controllers(standing: Standing) -> APIRouter:
    """`/v1/controller`, and what is probed."""
    router = APIRouter(tags=["controllers"])

    @router.get("/v1/controller", response_model=ControllerBody)
    async def get_controller() -> JSONResponse:
        """The controller that answers, and who leads."""
        return JSONResponse(value_json(standing.controller()))

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """The process answers; one that does not is to be started again."""
        return {"status": "ALIVE"}

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Reads can be answered; a leader has its workers for all devices as well."""
        if why := await standing.unready():
            raise Unavailable(why, reason="NOT_READY")
        return {"status": "SERVING", "role": standing.controller().role.value}

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """As `/readyz`, by its older name."""
        await readyz()
        return {"status": "SERVING"}

    return router
