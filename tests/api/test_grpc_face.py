"""The gRPC face: the services of the contract, and google.rpc.Status details for whatever is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from controller.api.gen.corridor.v1 import corridor_pb2, corridors_pb2, topologies_pb2
from controller.api.gen.corridor.v1.corridors_pb2_grpc import CorridorsStub
from controller.api.gen.corridor.v1.topologies_pb2_grpc import TopologiesStub
from controller.api.grpc_face import grpc_server
from controller.core.errors import Invalid, Violation
from controller.core.model import Isolation
from tests.api.fake_service import DOMAIN, EXPLAINED, FakeService

C1 = "tenants/acme/corridors/c1"


@pytest.fixture
def corridors(channel: grpc.aio.Channel) -> Any:
    return CorridorsStub(channel)


def request(corridor_id: str = "c1", **corridor: Any) -> corridors_pb2.CreateCorridorRequest:
    stated = {"profiles": [{"name": "inference", "bandwidth_kbps": 20000}, {"name": "training", "bandwidth_kbps": 9}]}
    return corridors_pb2.CreateCorridorRequest(
        parent="tenants/acme", corridor_id=corridor_id, corridor=corridor_pb2.Corridor(**(stated | corridor))
    )


async def refusal(call: Any) -> tuple[grpc.StatusCode, error_details_pb2.ErrorInfo, list[str]]:
    """Code, reason and fields of a call that must fail; the status message and the details must agree."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(SyncView(caught.value))
    assert status.message == caught.value.details()
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    if len(status.details) > 1:
        assert status.details[1].Unpack(bad)
    return caught.value.code(), info, [violation.field for violation in bad.field_violations]


class SyncView:
    """`rpc_status.from_call` takes a synchronous call."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.details = error.code, error.details
        self.trailing_metadata = lambda: tuple(error.trailing_metadata())


async def test_create_get_list_delete(corridors: Any, service: FakeService) -> None:
    created = await corridors.CreateCorridor(request(isolation="SOFT", state="DOWN", vrf=5))
    assert (created.name, created.isolation, created.mtu_bytes) == (C1, corridor_pb2.Corridor.SOFT, 1500)
    assert (created.state, created.vrf) == (corridor_pb2.Corridor.PROVISIONING, 0)
    assert service.corridors[C1].isolation == Isolation.SOFT
    assert await corridors.GetCorridor(corridors_pb2.GetCorridorRequest(name=C1)) == created
    await corridors.CreateCorridor(request("c2"))
    page = await corridors.ListCorridors(corridors_pb2.ListCorridorsRequest(parent="tenants/-", page_size=1))
    assert ([each.name for each in page.corridors], page.next_page_token) == ([C1], "1")
    deleted = await corridors.DeleteCorridor(corridors_pb2.DeleteCorridorRequest(name=C1, etag=created.etag))
    assert deleted.state == corridor_pb2.Corridor.DELETING


async def test_validate_only(corridors: Any, service: FakeService) -> None:
    dry = request()
    dry.validate_only = True
    assert (await corridors.CreateCorridor(dry)).name == C1
    assert service.corridors == {}


@pytest.mark.parametrize(
    ("paths", "mask"),
    [
        ([], ("display_name", "max_latency_us")),
        (["priority", "display_name", "priority"], ("display_name", "priority")),
        (["state", "name", "uid", "priority"], ("priority",)),
    ],
)
async def test_update_masks(corridors: Any, service: FakeService, paths: list[str], mask: tuple[str, ...]) -> None:
    await corridors.CreateCorridor(request(priority=3))
    changed = corridor_pb2.Corridor(name=C1, display_name="x", max_latency_us=9, vrf=4)
    await corridors.UpdateCorridor(
        corridors_pb2.UpdateCorridorRequest(corridor=changed, update_mask=FieldMask(paths=paths))
    )
    assert service.updates[-1][1] == mask


async def test_a_masked_field_that_is_not_set_is_cleared(corridors: Any) -> None:
    await corridors.CreateCorridor(request(mtu_bytes=9000, display_name="x", isolation="SOFT"))
    named = FieldMask(paths=["mtu_bytes", "display_name", "isolation"])
    bare = corridor_pb2.Corridor(name=C1)
    updated = await corridors.UpdateCorridor(corridors_pb2.UpdateCorridorRequest(corridor=bare, update_mask=named))
    assert (updated.mtu_bytes, updated.display_name, updated.isolation) == (1500, "", corridor_pb2.Corridor.HARD)


async def test_a_full_update_names_every_writable_field(corridors: Any, service: FakeService) -> None:
    await corridors.CreateCorridor(request())
    star = corridors_pb2.UpdateCorridorRequest(
        corridor=corridor_pb2.Corridor(name=C1), update_mask=FieldMask(paths=["*"])
    )
    await corridors.UpdateCorridor(star)
    assert {"a_end", "profiles", "active_profile", "priority"} <= set(service.updates[-1][1])
    assert not {"name", "etag", "state", "legs", "create_time"} & set(service.updates[-1][1])


async def test_a_mask_may_name_a_part_of_a_field(corridors: Any, service: FakeService) -> None:
    links = [f"{DOMAIN}/links/F-a-b"]
    stood = {"exclude_srlgs": [11], "max_hops": 3, "exclude_links": links}
    made = await corridors.CreateCorridor(request(path_constraints=stood))
    change = corridor_pb2.Corridor(
        name=C1, display_name="not named", path_constraints={"max_hops": 9, "objective": "TE", "exclude_srlgs": [7]}
    )
    paths = ["path_constraints.objective", "path_constraints.exclude_srlgs", "create_time.seconds", "a_end.dscp"]
    updated = await corridors.UpdateCorridor(
        corridors_pb2.UpdateCorridorRequest(corridor=change, update_mask=FieldMask(paths=paths))
    )
    assert updated.path_constraints == corridor_pb2.PathConstraints(**stood | {"objective": "TE", "exclude_srlgs": [7]})
    assert (updated.display_name, updated.a_end) == (made.display_name, made.a_end)
    assert service.updates[-1][1:] == (("a_end", "path_constraints"), made.etag), "merged into what must still stand"
    whole = FieldMask(paths=["path_constraints.objective", "path_constraints"])
    updated = await corridors.UpdateCorridor(
        corridors_pb2.UpdateCorridorRequest(corridor=corridor_pb2.Corridor(name=C1), update_mask=whole)
    )
    assert updated.path_constraints == corridor_pb2.PathConstraints(objective="DELAY")


async def test_bad_masks_and_stale_etags(corridors: Any, service: FakeService) -> None:
    await corridors.CreateCorridor(request())
    for path in ("bandwidth", "a_end.colour", "profiles.name", "priority.x", "path_constraints.", "activeProfile", ""):
        update = corridors_pb2.UpdateCorridorRequest(
            corridor=corridor_pb2.Corridor(name=C1), update_mask=FieldMask(paths=[path])
        )
        code, info, fields = await refusal(corridors.UpdateCorridor(update))
        assert (code, info.reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_FIELD", ["update_mask"])
    stale = corridor_pb2.Corridor(name=C1, display_name="x", etag="g0")
    for call in (
        corridors.UpdateCorridor(corridors_pb2.UpdateCorridorRequest(corridor=stale)),
        corridors.DeleteCorridor(corridors_pb2.DeleteCorridorRequest(name=C1, etag="g0")),
        corridors.SwitchProfile(corridors_pb2.SwitchProfileRequest(name=C1, profile="training", etag="g0")),
    ):
        code, info, _ = await refusal(call)
        assert (code, info.reason, info.domain) == (grpc.StatusCode.ABORTED, "STALE_ETAG", "corridor-controller")
    assert len(service.events) == 1


async def test_switch_profile(corridors: Any) -> None:
    await corridors.CreateCorridor(request())
    switch = corridors_pb2.SwitchProfileRequest(name=C1, profile="training", etag="g1")
    assert (await corridors.SwitchProfile(switch)).active_profile == "training"
    code, info, fields = await refusal(
        corridors.SwitchProfile(corridors_pb2.SwitchProfileRequest(name=C1, profile="x"))
    )
    assert (code, info.reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_PROFILE", ["profile"])


@pytest.mark.parametrize(
    ("corridor", "field"),
    [
        ({"a_end": {"node": f"{DOMAIN}/nodes/moon"}}, "a_end.node"),
        ({"profiles": [{"name": "x"}]}, "profiles[0].bandwidth_kbps"),
        ({"isolation": 77}, "isolation"),
    ],
)
async def test_a_wrong_field_is_named(corridors: Any, service: FakeService, corridor: Any, field: str) -> None:
    code, _, fields = await refusal(corridors.CreateCorridor(request(**corridor)))
    assert (code, fields, service.corridors) == (grpc.StatusCode.INVALID_ARGUMENT, [field], {})


@pytest.mark.parametrize(
    ("fault", "code", "reason", "metadata"),
    [
        ("nothing", grpc.StatusCode.NOT_FOUND, "NOT_FOUND", {"name": "tenants/acme/corridors/nothing"}),
        ("fault-unavailable", grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", {}),
        (
            "fault-infeasible",
            grpc.StatusCode.FAILED_PRECONDITION,
            "LATENCY_BOUND",
            {"best_us": "1004", "bound_us": "900"},
        ),
        ("fault-explained", grpc.StatusCode.FAILED_PRECONDITION, "NO_BANDWIDTH", EXPLAINED),
        ("fault-precondition", grpc.StatusCode.FAILED_PRECONDITION, "DELETING", {}),
        ("fault-device", grpc.StatusCode.UNAVAILABLE, "DEVICE_ERROR", {"device": f"{DOMAIN}/nodes/zgc-r"}),
        ("fault-defect", grpc.StatusCode.INTERNAL, "INTERNAL", {}),
    ],
)
async def test_every_family_of_errors(
    corridors: Any, fault: str, code: grpc.StatusCode, reason: str, metadata: dict[str, str], caplog: Any
) -> None:
    call = corridors.GetCorridor(corridors_pb2.GetCorridorRequest(name=f"tenants/acme/corridors/{fault}"))
    told, info, _ = await refusal(call)
    assert (told, info.reason, dict(info.metadata)) == (code, reason, metadata)
    assert (code == grpc.StatusCode.INTERNAL) == ("ZeroDivisionError" in caplog.text)


async def test_a_refusal_longer_than_a_header_is_cut(corridors: Any) -> None:
    call = corridors.GetCorridor(corridors_pb2.GetCorridorRequest(name="tenants/acme/corridors/fault-long"))
    code, info, fields = await refusal(call)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert info.metadata["links"].startswith("F-1,F-1,")
    assert 3 < len(fields) < 500
    assert fields == [f"profiles[{n}].name" for n in range(len(fields))]


async def test_a_second_of_the_same_name_and_a_bad_page(corridors: Any) -> None:
    await corridors.CreateCorridor(request())
    assert (await refusal(corridors.CreateCorridor(request())))[0] == grpc.StatusCode.ALREADY_EXISTS
    bad = corridors_pb2.ListCorridorsRequest(parent="tenants/acme", page_size=-1)
    assert (await refusal(corridors.ListCorridors(bad)))[2] == ["page_size"]


async def test_several_violations_are_all_told(corridors: Any, service: FakeService) -> None:
    both = Invalid("two", violations=(Violation("a_end.node", "is z_end.node"), Violation("profiles", "is empty")))

    async def refuse(*_: Any, **__: Any) -> None:
        raise both

    service.create_corridor = refuse  # type: ignore[method-assign]
    assert (await refusal(corridors.CreateCorridor(request())))[2] == ["a_end.node", "profiles"]


async def test_watch_tells_the_state_then_changes(corridors: Any, service: FakeService) -> None:
    await corridors.CreateCorridor(request("c1"))
    await corridors.CreateCorridor(request("c2"))
    watch = corridors.WatchCorridors(corridors_pb2.WatchCorridorsRequest(parent="tenants/acme"))
    first = [await watch.read(), await watch.read()]
    assert [event.corridor.name for event in first] == [C1, "tenants/acme/corridors/c2"]
    assert {event.type for event in first} == {corridor_pb2.CorridorEvent.CREATED}
    await corridors.SwitchProfile(corridors_pb2.SwitchProfileRequest(name=C1, profile="training"))
    change = await watch.read()
    assert (change.type, change.corridor.active_profile) == (corridor_pb2.CorridorEvent.UPDATED, "training")
    watch.cancel()
    resumed = corridors.WatchCorridors(corridors_pb2.WatchCorridorsRequest(parent="tenants/-", after_sequence=1))
    assert [(await resumed.read()).sequence for _ in range(2)] == [2, 3]
    resumed.cancel()
    await asyncio.wait_for(service.unwatched.wait(), 5)


async def test_watch_of_one_corridor(corridors: Any) -> None:
    await corridors.CreateCorridor(request("c1"))
    await corridors.CreateCorridor(request("c2"))
    watch = corridors.WatchCorridors(corridors_pb2.WatchCorridorsRequest(name=C1))
    assert (await watch.read()).corridor.name == C1
    await corridors.DeleteCorridor(corridors_pb2.DeleteCorridorRequest(name="tenants/acme/corridors/c2"))
    await corridors.DeleteCorridor(corridors_pb2.DeleteCorridorRequest(name=C1))
    last = await watch.read()
    assert (last.type, last.corridor.name) == (corridor_pb2.CorridorEvent.DELETED, C1)
    watch.cancel()


async def test_a_watch_of_nothing_is_refused(corridors: Any) -> None:
    for scope in ({}, {"parent": "acme"}, {"name": C1}):
        watch = corridors.WatchCorridors(corridors_pb2.WatchCorridorsRequest(**scope))
        code, _, _ = await refusal(watch.read())
        assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


async def test_topology(channel: grpc.aio.Channel) -> None:
    topologies: Any = TopologiesStub(channel)
    told = await topologies.GetTopology(topologies_pb2.GetTopologyRequest(name="domains/-/topology"))
    assert (told.name, told.version, len(told.nodes)) == (f"{DOMAIN}/topology", 7, 2)
    missing = topologies.GetTopology(topologies_pb2.GetTopologyRequest(name="domains/moon/topology"))
    assert (await refusal(missing))[0] == grpc.StatusCode.NOT_FOUND


async def test_defragment(channel: grpc.aio.Channel) -> None:
    topologies: Any = TopologiesStub(channel)
    request = topologies_pb2.DefragmentRequest(name="domains/-/topology", max_moves=2, validate_only=True)
    planned = await topologies.Defragment(request)
    assert [(each.server, each.fgts, each.after_moves) for each in planned.freed] == [("odu0-1", 119, 1)]
    request.max_moves = 201
    code, *_ = await refusal(topologies.Defragment(request))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


async def test_health(channel: grpc.aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", "corridor.v1.Corridors", "corridor.v1.Topologies"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest(service=name))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    assert {service.name for service in answer.list_services_response.service} == {
        "corridor.v1.Controllers",
        "corridor.v1.Corridors",
        "corridor.v1.Topologies",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_an_address_in_use_is_refused(service: FakeService, tmp_path: Path) -> None:
    first = grpc_server(service, "127.0.0.1:0")
    port = first.add_insecure_port("127.0.0.1:0")
    with pytest.raises(RuntimeError, match="bind"):
        grpc_server(service, f"127.0.0.1:{port}")
    await first.stop(None)
