"""Who leads, who is ready, and where callers are sent that want from a follower what only the leader does."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from typer.testing import CliRunner

from controller.api.gen.corridor.v1 import corridors_pb2
from controller.api.gen.corridor.v1.corridors_pb2_grpc import CorridorsStub
from controller.api.grpc_face import grpc_server
from controller.api.rest_face import rest_app
from controller.api.switchboard import USE_CASES, Switchboard
from controller.cli import app
from controller.core.errors import NotLeader, Refused, Unavailable
from controller.core.leadership import Controller, Role
from controller.core.model import Corridor
from tests.api.fake_service import FakeService
from tests.api.test_grpc_face import SyncView

C1 = "tenants/default/corridors/c1"
PROFILES = ("--profile", "inference=20M", "--profile", "training=100M")
LEASE_END = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NO_LEADER = Unavailable("nobody leads", reason="NO_LEADER", metadata={"retryAfterS": "1"})


def elsewhere(grpc_address: str) -> NotLeader:
    figures = {"leaderGrpc": grpc_address, "leaderRest": "http://leader:8080/"}
    return NotLeader("another leads", metadata=figures)


class ReadOnly:
    """What a follower has of the use cases."""

    def __init__(self, service: FakeService) -> None:
        self.get_corridor = service.get_corridor
        self.list_corridors = service.list_corridors
        self.watch_corridors = service.watch_corridors


@dataclass
class Standing:
    told: Controller = field(
        default_factory=lambda: Controller("b", Role.FOLLOWER, 7, "leader:50051", "http://leader:8080", LEASE_END)
    )
    why: str = ""

    def controller(self) -> Controller:
        return self.told

    async def unready(self) -> str:
        return self.why


@pytest.fixture
def standing() -> Standing:
    return Standing()


@pytest.fixture
def board(service: FakeService) -> Switchboard:
    """Of a follower."""
    return Switchboard(ReadOnly(service), lambda: elsewhere("leader:50051"))


@pytest.fixture
async def follower(board: Switchboard, standing: Standing) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(rest_app(board.service, standing), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://follower") as client:
        yield client


async def test_the_controller_that_answers(follower: httpx.AsyncClient) -> None:
    answer = await follower.get("/v1/controller")
    assert answer.json() == {
        "id": "b",
        "role": "FOLLOWER",
        "epoch": 7,
        "leaderGrpc": "leader:50051",
        "leaderRest": "http://leader:8080",
        "leaseEnd": "2026-03-01T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/tenants/default/corridors?corridorId=c%20%2F1&validateOnly=true", {}),
        ("PATCH", "/v1/tenants/default/corridors/c1", {"displayName": "x"}),
        ("PATCH", "/v1/tenants/default/corridors/not-heard-of-yet", {"displayName": "x"}),
        ("DELETE", "/v1/tenants/default/corridors/c1", None),
        ("POST", "/v1/tenants/default/corridors/c1:switchProfile", {"profile": "training"}),
        ("POST", "/v1/domains/-/topology:defragment", {"maxMoves": 1}),
        ("GET", "/v1/domains/-/topology", None),
        ("GET", "/v1/otn/topology", None),
    ],
)
async def test_what_only_the_leader_does_is_sent_there_as_it_came(
    follower: httpx.AsyncClient, service: FakeService, method: str, path: str, body: Any
) -> None:
    await service.create_corridor("tenants/default", "c1", Corridor())
    answer = await follower.request(method, path, json=body)
    assert (answer.status_code, answer.headers["location"]) == (307, f"http://leader:8080{path}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["reason"], answer.json()["metadata"]["leaderGrpc"]) == ("NOT_LEADER", "leader:50051")


async def test_reads_are_served_by_a_follower(follower: httpx.AsyncClient, service: FakeService) -> None:
    await service.create_corridor("tenants/default", "c1", Corridor())
    assert (await follower.get(f"/v1/{C1}")).json()["name"] == C1
    assert len((await follower.get("/v1/tenants/-/corridors")).json()["corridors"]) == 1
    assert (await follower.get("/v1/tenants/default/corridors/none")).status_code == 404


async def test_nobody_leads(service: FakeService, standing: Standing) -> None:
    board = Switchboard(ReadOnly(service), lambda: NO_LEADER)
    transport = httpx.ASGITransport(rest_app(board.service, standing))
    async with httpx.AsyncClient(transport=transport, base_url="http://follower") as client:
        answer = await client.delete("/v1/tenants/default/corridors/c1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_ready_and_alive(follower: httpx.AsyncClient, standing: Standing) -> None:
    assert (await follower.get("/readyz")).json() == {"status": "SERVING", "role": "FOLLOWER"}
    standing.why = "the database does not answer"
    refused = await follower.get("/readyz")
    assert (refused.status_code, refused.json()["detail"]) == (503, standing.why)
    assert (await follower.get("/healthz")).status_code == 503
    assert (await follower.get("/livez")).status_code == 200


async def test_health_follows_readiness(board: Switchboard, standing: Standing, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/grpc.sock"
    server = grpc_server(board.service, address, standing)
    await server.start()
    kinds = health_pb2.HealthCheckResponse
    async with grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="corridor.v1.Corridors")
        watch = health.Watch(asked)
        assert (await watch.read()).status == kinds.SERVING
        standing.why = "the database does not answer"
        assert (await watch.read()).status == kinds.NOT_SERVING
        assert (await health.Check(asked)).status == kinds.NOT_SERVING
        watch.cancel()
    await server.stop(None)


async def test_the_same_faces_serve_whoever_leads_now(
    board: Switchboard, follower: httpx.AsyncClient, service: FakeService
) -> None:
    path = "/v1/tenants/default/corridors"
    assert (await follower.post(path, params={"corridorId": "c1"}, json={})).status_code == 307
    board.present = service
    assert (await follower.post(path, params={"corridorId": "c1"}, json={})).status_code == 201


def test_the_switchboard_knows_every_use_case_and_nothing_else(board: Switchboard) -> None:
    assert {"create_corridor", "watch_corridors", "get_drift", "drain"} <= USE_CASES
    with pytest.raises(AttributeError):
        board.no_use_case  # noqa: B018


# The command, between several controllers.


@contextmanager
def served(address: str, service: Any, standing: Standing) -> Iterator[None]:
    """A gRPC face in a thread with its own loop; the command is synchronous."""
    loop, up, stopping = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def run() -> None:
        server = grpc_server(service, address, standing)
        await server.start()
        up.set()
        await stopping.wait()
        await server.stop(None)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert up.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        loop.close()


@dataclass
class Two:
    """A leader and a follower with the same corridors, and what the follower refuses with."""

    leader: str
    follower: str
    refusals: list[Refused]
    service: FakeService

    def __call__(self, *arguments: str, endpoint: str = "") -> Any:
        environment = {"CORRIDOR_ENDPOINT": endpoint or self.follower, "COLUMNS": "200"}
        return CliRunner().invoke(app, (*arguments, "--output", "json"), env=environment)


@pytest.fixture
def two(service: FakeService, tmp_path: Path) -> Iterator[Two]:
    leader, follower = (f"unix:{tmp_path}/{name}.sock" for name in ("leader", "follower"))
    refusals: list[Refused] = [elsewhere(leader)]
    board = Switchboard(ReadOnly(service), lambda: refusals.pop(0) if len(refusals) > 1 else refusals[0])
    with (
        served(leader, service, Standing(Controller("a", Role.LEADER, 7, leader))),
        served(follower, board.service, Standing(Controller("b", Role.FOLLOWER, 7, leader))),
    ):
        yield Two(leader, follower, refusals, service)


def test_the_command_finds_the_leader(two: Two) -> None:
    for arguments in (("create", "c1", *PROFILES), ("switch", "c1", "training"), ("delete", "c1")):
        done = two(*arguments)
        assert done.exit_code == 0, done.output
    assert C1 not in two.service.corridors


def test_the_command_waits_while_nobody_leads(two: Two) -> None:
    two.refusals[:0] = [NO_LEADER, NO_LEADER]
    assert two("create", "c1", *PROFILES).exit_code == 0


@pytest.mark.parametrize("order", ["{dead},{follower}", "{follower}, {dead}", "{dead},{leader}"])
def test_the_command_passes_over_an_endpoint_that_is_gone(two: Two, tmp_path: Path, order: str) -> None:
    endpoint = order.format(dead=f"unix:{tmp_path}/nobody.sock", follower=two.follower, leader=two.leader)
    assert two("create", "c1", *PROFILES, endpoint=endpoint).exit_code == 0
    assert json.loads(two("get", "c1", endpoint=endpoint).stdout)["name"] == C1


def test_a_refusal_of_another_kind_is_not_carried_elsewhere(two: Two) -> None:
    two("create", "c1", *PROFILES)
    again = two("create", "c1", *PROFILES, endpoint=f"{two.follower},{two.leader}")
    assert again.exit_code == 1
    assert "ALREADY_EXISTS" in again.stderr


def test_the_command_shows_who_leads(two: Two) -> None:
    assert json.loads(two("controller").stdout)["role"] == "FOLLOWER"
    table = CliRunner().invoke(app, ("controller",), env={"CORRIDOR_ENDPOINT": two.leader, "COLUMNS": "300"}).stdout
    assert "leader" in table
    assert two.leader in table


async def test_the_status_of_a_follower_for_programs(two: Two) -> None:
    """FAILED_PRECONDITION: nobody repeats it by himself. UNAVAILABLE with a delay where repeating is of use."""
    two.refusals[:0] = [NO_LEADER]
    async with grpc.aio.insecure_channel(two.follower) as channel:
        stub: Any = CorridorsStub(channel)
        found = []
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.DeleteCorridor(corridors_pb2.DeleteCorridorRequest(name=C1))
            found.append((caught.value.code(), rpc_status.from_call(SyncView(caught.value)).details))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    (unavailable, first), (precondition, second) = found
    assert (unavailable, precondition) == (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION)
    assert first[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1
    assert second[0].Unpack(info)
    assert (info.reason, info.metadata["leaderGrpc"]) == ("NOT_LEADER", two.leader)
    assert info.metadata["leaderRest"] == "http://leader:8080/"
