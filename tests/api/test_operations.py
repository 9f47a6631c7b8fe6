"""Drift and maintenance over each face: what goes in, what comes out, and what fails a command."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from rich.console import Console
from typer.testing import CliRunner

from controller.api.codec import decode, encode
from controller.api.contract import value_json
from controller.api.gen.corridor.v1 import drift_pb2, maintenance_pb2, topologies_pb2
from controller.api.gen.corridor.v1.topologies_pb2_grpc import TopologiesStub
from controller.api.grpc_face import grpc_server
from controller.api.tables import topology_tables
from controller.cli import app
from controller.core.drift import Drift
from controller.core.maintenance import Draining, Staying
from tests.api.fake_service import DOMAIN, DRIFT, TOPOLOGY, FakeService

ROUTER = f"{DOMAIN}/nodes/zgc-r"
FIBRE = f"{DOMAIN}/links/F-a-b"
C1 = "tenants/acme/corridors/c1"
STAYS = Staying("tenants/default/corridors/c2", "ENDS_HERE", "it ends at zgc-r")


def told(name: str, drained: bool) -> Draining:
    return Draining(name, drained, (C1,), (STAYS,))


# -- gRPC --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def topologies(channel: grpc.aio.Channel) -> Any:
    return TopologiesStub(channel)


async def test_drift_by_grpc(topologies: Any) -> None:
    request = topologies_pb2.GetDriftRequest(name="domains/-/topology")
    assert decode(await topologies.GetDrift(request), Drift) == DRIFT
    request.read_now = True
    assert not (await topologies.GetDrift(request)).devices[0].entries
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await topologies.GetDrift(topologies_pb2.GetDriftRequest(name="domains/moon/topology"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", [ROUTER, FIBRE])
async def test_maintenance_by_grpc(topologies: Any, service: FakeService, name: str) -> None:
    request = topologies_pb2.DrainRequest(name=name, validate_only=True)
    assert decode(await topologies.Drain(request), Draining) == told(name, drained=False)
    assert not service.drained
    request.validate_only = False
    assert decode(await topologies.Drain(request), Draining) == told(name, drained=True)
    assert service.drained == {name}
    answer = await topologies.Undrain(topologies_pb2.UndrainRequest(name=name))
    assert decode(answer, Draining) == Draining(name)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await topologies.Drain(topologies_pb2.DrainRequest(name=f"{name}-not"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


# -- REST --------------------------------------------------------------------------------------------------------------


async def test_drift_by_rest(rest: httpx.AsyncClient) -> None:
    address = "/v1/domains/metro/topology:drift"
    body = (await rest.get(address)).json()
    assert decode(json_format.ParseDict(body, drift_pb2.Drift()), Drift) == DRIFT
    assert body["devices"][0]["entries"][0]["kind"] == "MISSING"
    assert body["devices"][0]["readTime"].startswith("2026-03-01T12:00:00")
    assert "readTime" not in body["devices"][1]
    assert not (await rest.get(address, params={"readNow": "true"})).json()["devices"][0]["entries"]
    assert (await rest.get(address, params={"readNow": "perhaps"})).status_code == 400
    assert (await rest.get("/v1/domains/moon/topology:drift")).status_code == 404


@pytest.mark.parametrize(("kind", "short"), [("nodes", "zgc-r"), ("links", "F-a-b")])
async def test_maintenance_by_rest(rest: httpx.AsyncClient, service: FakeService, kind: str, short: str) -> None:
    address, name = f"/v1/domains/metro/{kind}/{short}", f"{DOMAIN}/{kind}/{short}"
    planned = (await rest.post(f"{address}:drain", json={"validateOnly": True})).json()
    assert planned == value_json(told(name, drained=False))
    assert not service.drained
    for body in ({"json": {}}, {}):  # gRPC's empty request has no body to speak of
        made = (await rest.post(f"{address}:drain", **body)).json()
        assert decode(json_format.ParseDict(made, maintenance_pb2.Draining()), Draining) == told(name, drained=True)
    assert service.drained == {name}
    assert (await rest.post(f"{address}:undrain", json={})).json() == value_json(Draining(name))
    assert not service.drained
    for refused in ({"validateOnly": 1}, {"more": 2}):
        assert (await rest.post(f"{address}:drain", json=refused)).status_code == 400
    assert (await rest.post(f"{address}:undrain", json={"more": 2})).status_code == 400
    for action in ("drain", "undrain"):
        assert (await rest.get(f"{address}:{action}")).status_code == 405
    assert (await rest.post(f"{address}-not:drain", json={})).status_code == 404


async def test_the_schema_names_every_operation_once(rest: httpx.AsyncClient) -> None:
    schema = (await rest.get("/openapi.json")).json()
    for path in ("topology:drift", "nodes/{name}:drain", "links/{name}:drain", "nodes/{name}:undrain"):
        assert f"/v1/domains/{{domain}}/{path}" in schema["paths"]
    ids = [each["operationId"] for path in schema["paths"].values() for each in path.values()]
    assert len(ids) == len(set(ids))


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[FakeService, str]]:
    """A server in a thread with its own loop; the command is synchronous."""
    service, address, up = FakeService(), f"unix:{tmp_path}/grpc.sock", threading.Event()
    loop, stopping = asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        server = grpc_server(service, address)
        await server.start()
        up.set()
        await stopping.wait()
        await server.stop(None)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert up.wait(5)
    yield service, address
    loop.call_soon_threadsafe(stopping.set)
    thread.join(5)
    loop.close()


def run(live: tuple[FakeService, str], *arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, complaint)."""
    environment = {"CORRIDOR_ENDPOINT": live[1], "COLUMNS": "250"}
    result = CliRunner().invoke(app, arguments, env=environment)
    return result.exit_code, result.stdout, result.stderr


def test_the_command_shows_drift_and_fails_where_there_is_any(live: tuple[FakeService, str]) -> None:
    status, shown, _ = run(live, "drift")
    assert status == 1
    lines = shown.splitlines()
    (device,) = [line for line in lines if "connected" in line and "zgc-r" in line]
    assert device.split() == ["zgc-r", "connected", "12", "2", "12:00:00", "3,", "last", "12:00:00"]
    assert any("zgc-o" in line and "not connected: no control stream" in line and "never" in line for line in lines)
    assert any("missing" in line and "policy 17 → encap_red_1(next_hop=3)" in line for line in lines)
    assert any("different" in line and "10/s" in line and "99/s" in line for line in lines)
    status, shown, _ = run(live, "drift", "--read-now")
    assert (status, "missing" in shown) == (0, False)
    assert run(live, "drift", "--domain", "moon")[0] == 1


@pytest.mark.parametrize("name", ["zgc-r", "F-a-b", ROUTER, FIBRE])
def test_the_command_drains_and_fails_while_one_stays(live: tuple[FakeService, str], name: str) -> None:
    full = next(each for each in (ROUTER, FIBRE) if each.endswith(name.rpartition("/")[2]))
    status, shown, _ = run(live, "drain", name, "--validate-only")
    assert (status, live[0].drained) == (1, set())
    assert f"{full}: in use, 1 moved, 1 staying" in shown
    status, shown, _ = run(live, "drain", name)
    assert (status, live[0].drained) == (1, {full})
    assert f"{full}: drained, 1 moved, 1 staying" in shown
    assert "moved: acme/c1" in shown
    assert any(line.split()[:2] == ["c2", "ENDS_HERE"] for line in shown.splitlines())
    status, shown, _ = run(live, "undrain", name)
    assert (status, live[0].drained) == (0, set())
    assert f"{full}: in use, 0 moved, 0 staying" in shown


def test_the_command_refuses_names_that_are_nothing(live: tuple[FakeService, str]) -> None:
    assert run(live, "drain", "moon")[0] == 2
    status, _, complaint = run(live, "drain", f"{DOMAIN}/nodes/moon")
    assert (status, "NOT_FOUND" in complaint) == (1, True)


def test_messages_carry_every_field() -> None:
    assert decode(encode(DRIFT, drift_pb2.Drift), Drift) == DRIFT
    assert decode(encode(told(FIBRE, drained=True), maintenance_pb2.Draining), Draining) == told(FIBRE, drained=True)


def test_a_topology_shows_what_is_drained_and_why_a_node_is_not_reached() -> None:
    (router, otn), (fibre,) = TOPOLOGY.nodes, TOPOLOGY.links
    troubled = replace(otn, trouble="no control stream", drained=True)
    view = replace(TOPOLOGY, nodes=(router, troubled), links=(replace(fibre, drained=True),))
    console = Console(width=300, no_color=True, legacy_windows=False)
    with console.capture() as captured:
        console.print(topology_tables(view))
    lines = captured.get().splitlines()
    (node,) = [line for line in lines if " otn " in line]
    assert "MISSING, drained" in node
    assert node.rstrip().endswith("no control stream")
    assert [line.count("drained") for line in lines if "F-a-b" in line or "zgc-r" in line] == [0, 1]
