"""A fake service behind each face: REST in process, gRPC on a socket in the test's directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest

from controller.api.grpc_face import grpc_server
from controller.api.rest_face import rest_app
from tests.api.fake_service import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def rest(service: FakeService) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(rest_app(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://controller") as client:
        yield client


@pytest.fixture
async def channel(service: FakeService, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    address = f"unix:{tmp_path}/grpc.sock"
    server = grpc_server(service, address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel
    await server.stop(None)
