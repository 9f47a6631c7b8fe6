"""The watch as server-sent events, over a real HTTP connection (an in-process transport would buffer it)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from controller.api.rest_face import rest_app
from controller.core.model import Corridor, Profile
from tests.api.fake_service import FakeService

WATCH = "/v1/tenants/acme/corridors:watch"
C1 = "tenants/acme/corridors/c1"


@pytest.fixture
async def http(service: FakeService, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    path = str(tmp_path / "rest.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    config = uvicorn.Config(rest_app(service), lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    transport = httpx.AsyncHTTPTransport(uds=path)
    async with httpx.AsyncClient(transport=transport, base_url="http://controller", timeout=5) as client:
        yield client
    server.should_exit = True
    await serving


@asynccontextmanager
async def watching(http: httpx.AsyncClient, **options: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with http.stream("GET", WATCH, **options) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


async def events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """`{"id": …, "data": …}` of each event; comments are left out."""
    fields: dict[str, Any] = {}
    async for line in response.aiter_lines():
        if not line and fields:
            yield fields
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = json.loads(value) if name == "data" else value


async def create(service: FakeService, name: str) -> None:
    await service.create_corridor("tenants/acme", name, Corridor(profiles=(Profile("a", 1), Profile("b", 2))))


async def test_first_the_state_then_changes(http: httpx.AsyncClient, service: FakeService) -> None:
    await create(service, "c1")
    async with watching(http) as stream:
        first = await anext(stream)
        assert (first["id"], first["data"]["sequence"], first["data"]["type"]) == ("1", 1, "CREATED")
        assert first["data"]["corridor"]["name"] == C1
        await service.switch_profile(C1, "b")
        change = await anext(stream)
        assert (change["id"], change["data"]["type"]) == ("2", "UPDATED")
        assert change["data"]["corridor"]["activeProfile"] == "b"
    await asyncio.wait_for(service.unwatched.wait(), 5)


@pytest.mark.parametrize("resume", [{"headers": {"Last-Event-ID": "1"}}, {"params": {"afterSequence": "1"}}], ids=str)
async def test_resuming_tells_only_what_was_missed(
    http: httpx.AsyncClient, service: FakeService, resume: dict[str, Any]
) -> None:
    await create(service, "c1")
    await service.switch_profile(C1, "b")
    await service.delete_corridor(C1)
    async with watching(http, **resume) as stream:
        missed = [await anext(stream), await anext(stream)]
    assert [(event["id"], event["data"]["type"]) for event in missed] == [("2", "UPDATED"), ("3", "DELETED")]


@pytest.mark.parametrize("last", ["x", "-1", "4294967296"])
async def test_a_bad_last_event_id_is_refused(http: httpx.AsyncClient, last: str) -> None:
    response = await http.get(WATCH, headers={"Last-Event-ID": last})
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert response.json()["violations"][0]["field"] == "last-event-id"


async def test_a_bad_parent_is_refused_before_the_stream(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/tenants/NOBODY/corridors:watch")
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
