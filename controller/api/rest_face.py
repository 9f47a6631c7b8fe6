"""The REST face: the contract's HTTP bindings over the use cases. OpenAPI is at `/docs`; every error is a problem.

Annotations are evaluated here as they stand, for FastAPI reads those of functions inside functions.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Query
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field, StrictBool, create_model

from controller.api.bodies import UINT32_MAX, Body, Text, body_model, overlay
from controller.api.codec import encode
from controller.api.contract import message_json, value_json, writable, writable_mask
from controller.api.controllers import Alone, Standing, controllers
from controller.api.gen.corridor.v1 import corridor_pb2, corridors_pb2
from controller.api.grpc_face import following
from controller.api.optical_view import optical_views
from controller.api.problems import RESPONSES, handle_problems, problem_media
from controller.api.use_cases import CorridorService
from controller.core.drift import Drift
from controller.core.errors import Invalid
from controller.core.maintenance import Draining
from controller.core.model import Corridor, TopologyView
from controller.core.otn.moves import Defragmentation

CorridorBody: Any = body_model(Corridor)
TopologyBody: Any = body_model(TopologyView)
DefragmentationBody: Any = body_model(Defragmentation)
DriftBody: Any = body_model(Drift)
DrainingBody: Any = body_model(Draining)
CorridorPage: Any = create_model("ListCorridorsResponse", corridors=list[CorridorBody], nextPageToken=(str, ""))
MAX_PAGE_SIZE = 2**31 - 1


class SwitchProfileBody(BaseModel):
    """Which profile is to be the active one."""

    model_config = ConfigDict(extra="forbid")
    profile: Text
    etag: Text = ""


class DefragmentBody(BaseModel):
    """How many corridors may be moved, and whether this is only to see what that would do."""

    model_config = ConfigDict(extra="forbid")
    max_moves: Annotated[int, Field(strict=True, ge=1, le=UINT32_MAX, alias="maxMoves")]
    validate_only: Annotated[StrictBool, Field(alias="validateOnly")] = False


class DrainBody(BaseModel):
    """Whether this is only to see what would move and what would stay."""

    model_config = ConfigDict(extra="forbid")
    validate_only: Annotated[StrictBool, Field(alias="validateOnly")] = False


class UndrainBody(BaseModel):
    """Nothing is to be stated."""

    model_config = ConfigDict(extra="forbid")


def entity_tag(if_match: Annotated[str, Header(description="Refuse unless this is the current ETag.")] = "") -> str:
    """The etag that `If-Match` names; `*` and absence name none."""
    tag = if_match.strip()
    if tag == "*":
        return ""
    if "," in tag:
        raise Invalid.field("If-Match", "takes one entity tag")
    return tag[1:-1] if len(tag) > 1 and tag[0] == tag[-1] == '"' else tag


EntityTag = Annotated[str, Depends(entity_tag)]


def _answer(corridor: Corridor, status: int = 200, **headers: str) -> JSONResponse:
    if corridor.etag:
        headers["ETag"] = f'"{corridor.etag}"'
    return JSONResponse(value_json(corridor), status, headers=headers)


def _name(tenant: str, corridor: str) -> str:
    return f"tenants/{tenant}/corridors/{corridor}"


def _corridors(service: CorridorService) -> APIRouter:
    """`/v1/tenants/{tenant}/corridors` and what is below it."""
    router = APIRouter(prefix="/v1/tenants/{tenant}", tags=["corridors"])
    _reading(router, service)
    _writing(router, service)
    _watching(router, service)
    return router


def _reading(router: APIRouter, service: CorridorService) -> None:
    @router.get("/corridors", response_model=CorridorPage)
    async def list_corridors(
        tenant: str,
        page_size: Annotated[int, Query(alias="pageSize", ge=0, le=MAX_PAGE_SIZE)] = 0,
        page_token: Annotated[str, Query(alias="pageToken")] = "",
    ) -> JSONResponse:
        """One page of a tenant's corridors; tenant `-` is every tenant."""
        page, token = await service.list_corridors(f"tenants/{tenant}", page_size, page_token)
        messages = [encode(corridor, corridor_pb2.Corridor) for corridor in page]
        return JSONResponse(
            message_json(corridors_pb2.ListCorridorsResponse(corridors=messages, next_page_token=token))
        )

    @router.get("/corridors/{corridor}", response_model=CorridorBody)
    async def get_corridor(tenant: str, corridor: str) -> JSONResponse:
        return _answer(await service.get_corridor(_name(tenant, corridor)))


def _writing(router: APIRouter, service: CorridorService) -> None:
    @router.post("/corridors", response_model=CorridorBody, status_code=201)
    async def create_corridor(
        tenant: str,
        body: CorridorBody,
        corridor_id: Annotated[str, Query(alias="corridorId")],
        validate_only: Annotated[bool, Query(alias="validateOnly")] = False,
        request_id: Annotated[str, Query(alias="requestId")] = "",
    ) -> JSONResponse:
        """Plan, store and start to build a corridor; the answer comes before the devices agree (`reconciling`)."""
        created = await service.create_corridor(
            f"tenants/{tenant}",
            corridor_id,
            writable(overlay(Corridor(), body)),
            validate_only=validate_only,
            request_id=request_id,
        )
        if validate_only:
            return _answer(created)
        return _answer(created, 201, Location=f"/v1/{created.name}")

    @router.patch("/corridors/{corridor}", response_model=CorridorBody)
    async def update_corridor(tenant: str, corridor: str, body: CorridorBody, etag: EntityTag) -> JSONResponse:
        """Merge patch (RFC 7396): the fields present are changed, null clears."""
        return _answer(await _merge(service, _name(tenant, corridor), body, etag))

    @router.delete("/corridors/{corridor}", response_model=CorridorBody)
    async def delete_corridor(tenant: str, corridor: str, etag: EntityTag) -> JSONResponse:
        """Start the removal; the corridor is gone when the devices confirm."""
        return _answer(await service.delete_corridor(_name(tenant, corridor), etag=etag))

    @router.post("/corridors/{corridor}:switchProfile", response_model=CorridorBody)
    async def switch_profile(tenant: str, corridor: str, body: SwitchProfileBody, etag: EntityTag) -> JSONResponse:
        """Make another profile the active one."""
        name = _name(tenant, corridor)
        return _answer(await service.switch_profile(name, body.profile, etag=etag or body.etag))


async def _merge(service: CorridorService, name: str, body: Body, etag: str) -> Corridor:
    """Update with the fields that the body states. What is merged into an object must be what the object still is."""
    current = await service.changeable_corridor(name)
    stated = overlay(current, body)
    if stated.name != name:
        raise Invalid.field("name", f"is {name} by the address of this request")
    etag = etag or (stated.etag if "etag" in body.model_fields_set or body.merges else "")
    return await service.update_corridor(writable(stated), writable_mask((), body.model_fields_set), etag=etag)


def _watching(router: APIRouter, service: CorridorService) -> None:
    async def start(
        tenant: str,
        after_sequence: Annotated[int, Query(alias="afterSequence", ge=0, le=UINT32_MAX)] = 0,
        last_event_id: Annotated[int, Header(ge=0, le=UINT32_MAX)] = 0,
    ) -> int:
        """Refuse before the stream begins what would be refused in it."""
        await service.list_corridors(f"tenants/{tenant}", 1)
        return max(after_sequence, last_event_id)

    @router.get("/corridors:watch", response_class=EventSourceResponse)
    async def watch_corridors(
        tenant: str, after_sequence: Annotated[int, Depends(start)]
    ) -> AsyncIterator[ServerSentEvent]:
        """First the corridors as they stand, then every change; `Last-Event-ID` resumes after that sequence."""
        async with aclosing(following(service, f"tenants/{tenant}", after_sequence)) as events:
            async for event in events:
                yield ServerSentEvent(data=value_json(event), id=str(event.sequence))


def _topologies(service: CorridorService) -> APIRouter:
    """The topology, and what is done to it as a whole."""
    router = APIRouter(tags=["topologies"])

    @router.get("/v1/domains/{domain}/topology", response_model=TopologyBody)
    async def get_topology(domain: str) -> JSONResponse:
        """Domain `-` is the one that this controller serves."""
        return JSONResponse(value_json(await service.get_topology(f"domains/{domain}/topology")))

    @router.post("/v1/domains/{domain}/topology:defragment", response_model=DefragmentationBody)
    async def defragment(domain: str, body: DefragmentBody) -> JSONResponse:
        """Free whole server ODUs, make-before-break; answers when every move is made or one has failed."""
        name = f"domains/{domain}/topology"
        found = await service.defragment(name, body.max_moves, validate_only=body.validate_only)
        return JSONResponse(value_json(found))

    @router.get("/v1/domains/{domain}/topology:drift", response_model=DriftBody)
    async def get_drift(domain: str, read_now: Annotated[bool, Query(alias="readNow")] = False) -> JSONResponse:
        """Desired against actual, device by device: as it was last read back, or as it is now."""
        return JSONResponse(value_json(await service.get_drift(f"domains/{domain}/topology", read_now=read_now)))

    return router


def _maintenance(service: CorridorService) -> APIRouter:
    """Nodes and links that are kept free."""
    router = APIRouter(prefix="/v1/domains/{domain}", tags=["maintenance"])
    _things(router, service, "nodes")
    _things(router, service, "links")
    return router


def _things(router: APIRouter, service: CorridorService, kind: Literal["nodes", "links"]) -> None:
    @router.post(f"/{kind}/{{name}}:drain", response_model=DrainingBody, name=f"drain_{kind}")
    async def drain(domain: str, name: str, body: DrainBody | None = None) -> JSONResponse:
        """Place nothing new on it and move off what can be, make-before-break; answers when all is done."""
        only = body is not None and body.validate_only
        return JSONResponse(value_json(await service.drain(f"domains/{domain}/{kind}/{name}", validate_only=only)))

    @router.post(f"/{kind}/{{name}}:undrain", response_model=DrainingBody, name=f"undrain_{kind}")
    async def undrain(domain: str, name: str, body: UndrainBody | None = None) -> JSONResponse:
        """Maintenance is over: what found no room is tried again, nothing moves back by itself."""
        return JSONResponse(value_json(await service.undrain(f"domains/{domain}/{kind}/{name}")))


def rest_app(service: CorridorService, standing: Standing = Alone()) -> FastAPI:  # noqa: B008
    """The ASGI application over a service."""
    app = _Application(
        title="Computing-power corridors",
        version="v1",
        separate_input_output_schemas=False,
        responses=RESPONSES,
    )
    app.include_router(_corridors(service))
    app.include_router(_topologies(service))
    app.include_router(_maintenance(service))
    app.include_router(optical_views(service))
    app.include_router(controllers(standing))
    handle_problems(app)
    return app


class _Application(FastAPI):
    """FastAPI, which has no other place to state the media type of problems."""

    def openapi(self) -> dict[str, Any]:
        return problem_media(super().openapi())
