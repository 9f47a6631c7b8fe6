"""The REST face: what goes in and out, and a problem document for whatever is wrong."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api.codec import decode
from controller.api.gen.corridor.v1 import corridor_pb2, defragmentation_pb2, topology_pb2
from controller.core.errors import Infeasible, Violation
from controller.core.model import Corridor, Isolation, Objective, PathConstraints, Reservation, TopologyView
from controller.core.otn.moves import Defragmentation
from tests.api.fake_service import DOMAIN, EXPLAINED, PLAN, TOPOLOGY, FakeService

CORRIDORS = "/v1/tenants/acme/corridors"
C1 = f"{CORRIDORS}/c1"
BODY: dict[str, Any] = {
    "aEnd": {"node": f"{DOMAIN}/nodes/zgc-r", "port": "dc1", "ipv4Prefixes": ["10.1.0.0/24"], "dscp": 0},
    "zEnd": {"node": f"{DOMAIN}/nodes/zgc-r", "port": "dc2"},
    "profiles": [{"name": "inference", "bandwidthKbps": 20000}, {"name": "training", "bandwidthKbps": 100000}],
    "activeProfile": "inference",
    "isolation": "SOFT",
}


async def created(rest: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    response = await rest.post(CORRIDORS, params={"corridorId": "c1"}, json=BODY | more)
    assert response.status_code == 201, response.text
    return response.json()  # type: ignore[no-any-return]


def assert_problem(response: httpx.Response, status: int, reason: str, *fields: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["reason"] == reason
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"].startswith("urn:")
    assert [violation["field"] for violation in problem["violations"]] == list(fields)
    return problem


async def test_create_answers_with_the_corridor(rest: httpx.AsyncClient, service: FakeService) -> None:
    response = await rest.post(CORRIDORS, params={"corridorId": "c1"}, json=BODY)
    assert response.status_code == 201
    assert response.headers["location"] == C1
    assert response.headers["etag"] == '"g1"'
    kept = service.corridors["tenants/acme/corridors/c1"]
    assert (kept.isolation, kept.reservation, kept.mtu_bytes) == (Isolation.SOFT, Reservation.PEAK, 1500)
    assert (kept.a_end.dscp, kept.z_end.dscp) == (0, None)
    told = json_format.ParseDict(response.json(), corridor_pb2.Corridor())
    assert decode(told, Corridor) == kept


async def test_bodies_are_proto_json(rest: httpx.AsyncClient) -> None:
    body = await created(rest)
    assert body["profiles"][1] == {"name": "training", "bandwidthKbps": 100000, "reverseBandwidthKbps": 0}
    assert body["createTime"] == "2026-03-01T12:00:00.250Z"
    assert body["state"] == "PROVISIONING"
    assert body["legs"] == []
    assert "updateTime" not in body


async def test_validate_only_changes_nothing(rest: httpx.AsyncClient, service: FakeService) -> None:
    response = await rest.post(CORRIDORS, params={"corridorId": "c1", "validateOnly": "true"}, json=BODY)
    assert (response.status_code, service.corridors) == (200, {})


async def test_what_was_read_can_be_sent_back(rest: httpx.AsyncClient, service: FakeService) -> None:
    body = await created(rest)
    response = await rest.patch(C1, json=body | {"displayName": "pipe", "state": "UP", "generation": 77})
    assert response.status_code == 200, response.text
    assert response.json()["displayName"] == "pipe"
    assert (response.json()["state"], response.json()["generation"]) == ("PROVISIONING", 2)
    _, mask, etag = service.updates[-1]
    assert {"display_name", "a_end", "profiles"} <= set(mask)
    assert not {"state", "generation", "name", "etag", "legs"} & set(mask)
    assert etag == "g1"


async def test_output_only_fields_are_ignored_at_creation(rest: httpx.AsyncClient) -> None:
    body = await created(rest, state="DOWN", vrf=9, conditions=[])
    assert (body["state"], body["vrf"]) == ("PROVISIONING", 0)


async def test_patch_changes_the_fields_present(rest: httpx.AsyncClient, service: FakeService) -> None:
    await created(rest, maxLatencyUs=900, mtuBytes=1400)
    response = await rest.patch(C1, json={"activeProfile": "training", "maxLatencyUs": None, "mtuBytes": None})
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["activeProfile"], body["maxLatencyUs"], body["mtuBytes"]) == ("training", 0, 1500)
    assert len(body["profiles"]) == 2
    assert service.updates[-1][1:] == (("active_profile", "max_latency_us", "mtu_bytes"), "")


async def test_patch_merges_objects_and_replaces_lists(rest: httpx.AsyncClient, service: FakeService) -> None:
    await created(rest)
    await rest.patch(C1, json={"aEnd": {"dscp": None, "port": "dc9"}, "profiles": [{"name": "x", "bandwidthKbps": 1}]})
    kept = service.corridors["tenants/acme/corridors/c1"]
    assert (kept.a_end.dscp, kept.a_end.port, kept.a_end.ipv4_prefixes) == (None, "dc9", ("10.1.0.0/24",))
    assert [profile.name for profile in kept.profiles] == ["x"]
    assert service.updates[-1][2] == "g1", "what was merged into must not change meanwhile"


async def test_patch_merges_path_constraints(rest: httpx.AsyncClient, service: FakeService) -> None:
    stated = {"objective": "TE", "maxHops": 4, "excludeLinks": [f"{DOMAIN}/links/F-a-b"], "excludeSrlgs": [11]}
    body = await created(rest, pathConstraints=stated)
    assert body["pathConstraints"] | stated == body["pathConstraints"]
    response = await rest.patch(C1, json={"pathConstraints": {"excludeLinks": [], "maxHops": None, "maxJitterUs": 7}})
    assert response.status_code == 200, response.text
    kept = service.corridors["tenants/acme/corridors/c1"].path_constraints
    assert kept == PathConstraints(Objective.TE, max_jitter_us=7, exclude_srlgs=(11,))
    assert service.updates[-1][1:] == (("path_constraints",), "g1")
    assert (await rest.patch(C1, json={"pathConstraints": None})).json()["pathConstraints"]["objective"] == "DELAY"


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"objective": "SPEED"}, "pathConstraints.objective"),
        ({"maxHops": -1}, "pathConstraints.maxHops"),
        ({"excludeSrlgs": [2**32]}, "pathConstraints.excludeSrlgs[0]"),
        ({"excludeLinks": "F-a-b"}, "pathConstraints.excludeLinks"),
        ({"excludeFibres": []}, "pathConstraints.excludeFibres"),
    ],
)
async def test_bad_path_constraints(rest: httpx.AsyncClient, stated: Any, field: str) -> None:
    response = await rest.post(CORRIDORS, params={"corridorId": "c1"}, json=BODY | {"pathConstraints": stated})
    assert_problem(response, 400, "INVALID_ARGUMENT", field)


@pytest.mark.parametrize("tag", ['"g1"', "g1", "*"])
async def test_if_match_with_the_current_etag(rest: httpx.AsyncClient, tag: str) -> None:
    await created(rest)
    response = await rest.patch(C1, json={"displayName": "x"}, headers={"If-Match": tag})
    assert (response.status_code, response.headers["etag"]) == (200, '"g2"')


async def test_a_stale_etag_is_refused_everywhere(rest: httpx.AsyncClient, service: FakeService) -> None:
    await created(rest)
    stale = {"If-Match": '"g0"'}
    before = dict(service.corridors)
    switch = f"{C1}:switchProfile"
    assert_problem(await rest.patch(C1, json={"displayName": "x"}, headers=stale), 412, "STALE_ETAG")
    assert_problem(await rest.delete(C1, headers=stale), 412, "STALE_ETAG")
    assert_problem(await rest.post(switch, json={"profile": "training"}, headers=stale), 412, "STALE_ETAG")
    assert_problem(await rest.patch(C1, json={"displayName": "x", "etag": "g0"}), 409, "STALE_ETAG")
    assert_problem(await rest.post(switch, json={"profile": "training", "etag": "g0"}), 409, "STALE_ETAG")
    assert_problem(await rest.delete(C1, headers={"If-Match": '"a", "b"'}), 400, "INVALID_ARGUMENT", "If-Match")
    assert service.corridors == before


async def test_a_body_cannot_rename(rest: httpx.AsyncClient) -> None:
    await created(rest)
    assert_problem(await rest.patch(C1, json={"name": "tenants/acme/corridors/c2"}), 400, "INVALID_ARGUMENT", "name")


async def test_switch_profile(rest: httpx.AsyncClient) -> None:
    await created(rest)
    response = await rest.post(f"{C1}:switchProfile", json={"profile": "training"})
    assert response.json()["activeProfile"] == "training"
    problem = await rest.post(f"{C1}:switchProfile", json={"profile": "nope"})
    assert_problem(problem, 400, "UNKNOWN_PROFILE", "profile")
    assert_problem(await rest.post(f"{C1}:switchProfile", json={}), 400, "INVALID_ARGUMENT", "profile")


async def test_delete_answers_with_what_goes(rest: httpx.AsyncClient) -> None:
    await created(rest)
    response = await rest.delete(C1)
    assert (response.status_code, response.json()["state"]) == (200, "DELETING")
    assert_problem(await rest.get(C1), 404, "NOT_FOUND")


async def test_list_in_pages(rest: httpx.AsyncClient) -> None:
    for tenant, name in (("acme", "a"), ("acme", "b"), ("zeta", "c")):
        await rest.post(f"/v1/tenants/{tenant}/corridors", params={"corridorId": name}, json=BODY)
    first = (await rest.get(CORRIDORS, params={"pageSize": 1})).json()
    assert [each["name"] for each in first["corridors"]] == ["tenants/acme/corridors/a"]
    rest_of_it = (await rest.get(CORRIDORS, params={"pageToken": first["nextPageToken"]})).json()
    assert ([len(rest_of_it["corridors"])], rest_of_it["nextPageToken"]) == ([1], "")
    assert len((await rest.get("/v1/tenants/-/corridors")).json()["corridors"]) == 3
    assert_problem(await rest.get(CORRIDORS, params={"pageSize": -1}), 400, "INVALID_ARGUMENT", "pageSize")
    assert_problem(await rest.get(CORRIDORS, params={"pageToken": "?"}), 400, "INVALID_ARGUMENT", "pageToken")


async def test_defragment(rest: httpx.AsyncClient) -> None:
    address = "/v1/domains/metro/topology:defragment"
    body = (await rest.post(address, json={"maxMoves": 2, "validateOnly": True})).json()
    assert decode(json_format.ParseDict(body, defragmentation_pb2.Defragmentation()), Defragmentation) == PLAN
    assert body["moves"][0]["changes"][0]["fromServer"] == "odu0-1"
    assert (await rest.post(address, json={"maxMoves": 2})).json()["moves"][0]["done"]
    for refused in ({}, {"maxMoves": 0}, {"maxMoves": 1.5}, {"maxMoves": 201}, {"maxMoves": 1, "more": 2}):
        assert (await rest.post(address, json=refused)).status_code == 400
    moon = rest.post("/v1/domains/moon/topology:defragment", json={"maxMoves": 1})
    assert_problem(await moon, 404, "NOT_FOUND")


async def test_topology_and_health(rest: httpx.AsyncClient) -> None:
    for address in ("/v1/domains/metro/topology", "/v1/domains/-/topology"):
        body = (await rest.get(address)).json()
        assert decode(json_format.ParseDict(body, topology_pb2.Topology()), TopologyView) == TOPOLOGY
    assert body["links"][0]["lengthKm"] == 12.5
    assert (await rest.get("/healthz")).json() == {"status": "SERVING"}
    assert_problem(await rest.get("/v1/domains/moon/topology"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"aEnd": {"node": f"{DOMAIN}/nodes/moon"}}, "aEnd.node"),
        ({"profiles": [{"name": "x", "bandwidthKbps": 0}]}, "profiles[0].bandwidthKbps"),
        ({"profiles": [{"name": "x", "bandwidthKbps": -1}]}, "profiles[0].bandwidthKbps"),
        ({"profiles": [{"name": "x", "bandwidthKbps": 2**32}]}, "profiles[0].bandwidthKbps"),
        ({"profiles": [{"name": "x", "bandwidthKbps": 10**400}]}, "profiles[0].bandwidthKbps"),
        ({"profiles": [{"name": "x", "bandwidthKbps": "20"}]}, "profiles[0].bandwidthKbps"),
        ({"profiles": [{"name": "x", "bandwidthKbps": 1.5}]}, "profiles[0].bandwidthKbps"),
        ({"profiles": [{"name": "x", "bandwidthKbps": True}]}, "profiles[0].bandwidthKbps"),
        ({"profiles": {"name": "x"}}, "profiles"),
        ({"maxLatencyUs": -1}, "maxLatencyUs"),
        ({"isolation": "hard"}, "isolation"),
        ({"isolation": "ISOLATION_UNSPECIFIED"}, "isolation"),
        ({"isolation": 1}, "isolation"),
        ({"displayName": 5}, "displayName"),
        ({"displayName": "\ud800"}, "displayName"),
        ({"allowInterruption": "yes"}, "allowInterruption"),
        ({"aEnd": "zgc-r"}, "aEnd"),
        ({"aEnd": {"dscp": "x"}}, "aEnd.dscp"),
        ({"a_end": {}}, "a_end"),
        ({"bandwidth": 5}, "bandwidth"),
        ({"\ud800": 5}, ""),
    ],
    ids=str,
)
async def test_a_wrong_field_is_named_in_json_spelling(
    rest: httpx.AsyncClient, service: FakeService, change: dict[str, Any], field: str
) -> None:
    body = json.dumps(BODY | change)
    headers = {"content-type": "application/json"}
    response = await rest.post(CORRIDORS, params={"corridorId": "c1"}, content=body, headers=headers)
    problem = assert_problem(response, 400, response.json()["reason"], field)
    assert field in problem["detail"]
    assert service.corridors == {}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"vrf": ' + "9" * 5000 + "}", "\xff"]
)
async def test_bad_json(rest: httpx.AsyncClient, content: str) -> None:
    headers = {"content-type": "application/json"}
    sent = content.encode("latin-1")
    response = await rest.post(CORRIDORS, params={"corridorId": "c1"}, content=sent, headers=headers)
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"


async def test_other_bad_requests(rest: httpx.AsyncClient) -> None:
    assert_problem(await rest.post(CORRIDORS, json=BODY), 400, "INVALID_ARGUMENT", "corridorId")
    response = await rest.post(CORRIDORS, params={"corridorId": "C_1"}, json=BODY)
    assert_problem(response, 400, "INVALID_ARGUMENT", "corridorId")
    response = await rest.post("/v1/tenants/-/corridors", params={"corridorId": "c1"}, json=BODY)
    assert_problem(response, 400, "INVALID_ARGUMENT", "parent")
    response = await rest.post(CORRIDORS, params={"corridorId": "c1"}, content=json.dumps(BODY))
    assert response.status_code == 400
    assert_problem(await rest.get("/v1/nothing"), 404, "NOT_FOUND")
    response = await rest.put(C1, json=BODY)
    assert_problem(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"]
    assert_problem(await rest.post(f"{C1}:explode", json={}), 405, "METHOD_NOT_ALLOWED")


async def test_a_second_of_the_same_name(rest: httpx.AsyncClient) -> None:
    await created(rest)
    response = await rest.post(CORRIDORS, params={"corridorId": "c1"}, json=BODY)
    assert_problem(response, 409, "ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("fault", "status", "reason", "metadata"),
    [
        ("fault-unavailable", 503, "UNAVAILABLE", {}),
        ("fault-infeasible", 422, "LATENCY_BOUND", {"best_us": "1004", "bound_us": "900"}),
        ("fault-explained", 422, "NO_BANDWIDTH", EXPLAINED),
        ("fault-precondition", 409, "DELETING", {}),
        ("fault-conflict", 409, "CHANGE_UNDER_WAY", {}),
        ("fault-device", 503, "DEVICE_ERROR", {"device": f"{DOMAIN}/nodes/zgc-r"}),
        ("fault-defect", 500, "INTERNAL", {}),
    ],
)
async def test_every_family_of_errors(
    rest: httpx.AsyncClient, fault: str, status: int, reason: str, metadata: dict[str, str]
) -> None:
    problem = assert_problem(await rest.get(f"{CORRIDORS}/{fault}"), status, reason)
    assert problem["metadata"] == metadata
    assert "secret" not in problem["detail"]


async def test_only_a_stale_etag_fails_the_precondition(rest: httpx.AsyncClient) -> None:
    """Whoever reads 412 fetches the corridor anew; against a change that takes long that is no help."""
    response = await rest.patch(f"{CORRIDORS}/fault-conflict", json={"priority": 1}, headers={"If-Match": '"g1"'})
    assert_problem(response, 409, "CHANGE_UNDER_WAY")


async def test_openapi_is_the_model(rest: httpx.AsyncClient) -> None:
    schemas = (await rest.get("/openapi.json")).json()["components"]["schemas"]
    fields = schemas["Corridor"]["properties"]
    assert list(fields) == [field.json_name for field in corridor_pb2.Corridor.DESCRIPTOR.fields]
    assert schemas["Isolation"]["enum"] == ["HARD", "SOFT"]
    assert schemas["State"]["enum"] == ["PROVISIONING", "UP", "DEGRADED", "DOWN", "DELETING"]
    assert fields["state"]["readOnly"]
    assert "readOnly" not in fields["activeProfile"]
    assert fields["mtuBytes"] | {"title": ""} == {
        "type": "integer", "minimum": 0, "maximum": 4294967295, "default": 1500, "title": ""
    }  # fmt: skip
    assert schemas["Corridor"]["additionalProperties"] is False
    assert list(schemas["Link"]["properties"]) == [field.json_name for field in topology_pb2.Link.DESCRIPTOR.fields]
    assert (await rest.get("/docs")).status_code == 200


async def test_openapi_states_problems(rest: httpx.AsyncClient) -> None:
    document = (await rest.get("/openapi.json")).json()
    for path in document["paths"].values():
        for operation in path.values():
            for status in ("4XX", "5XX"):
                (media,) = operation["responses"][status]["content"]
                assert media == "application/problem+json"
                assert "422" not in operation["responses"]


async def test_a_resource_in_a_violation_keeps_its_name(rest: httpx.AsyncClient, service: FakeService) -> None:
    link = f"{DOMAIN}/links/F_a_b"
    service.get_corridor = raising(  # type: ignore[method-assign]
        Infeasible(f"{link}: 3 slots free", violations=(Violation(link, "3 slots free"),))
    )
    problem = assert_problem(await rest.get(C1), 422, "INFEASIBLE", link)
    assert problem["detail"] == f"{link}: 3 slots free"


def raising(error: Exception) -> Any:
    async def raise_it(*_: Any, **__: Any) -> None:
        raise error

    return raise_it


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
SOME_FIELDS = st.dictionaries(
    st.sampled_from([field.json_name for field in corridor_pb2.Corridor.DESCRIPTOR.fields]), JSON, max_size=4
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(JSON, SOME_FIELDS, SOME_FIELDS.map(lambda fields: BODY | fields)))
async def test_no_body_is_a_defect(rest: httpx.AsyncClient, service: FakeService, body: Any) -> None:
    service.corridors.clear()
    headers = {"content-type": "application/json"}
    sent = json.dumps(body)
    answers = [
        await rest.post(CORRIDORS, params={"corridorId": "c1"}, content=sent, headers=headers),
        await rest.patch(C1, content=sent, headers=headers),
        await rest.post(f"{C1}:switchProfile", content=sent, headers=headers),
    ]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=8), st.text(max_size=8), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
async def test_no_address_is_a_defect(rest: httpx.AsyncClient, tenant: str, name: str, query: dict[str, str]) -> None:
    segments = quote(tenant, safe=""), quote(name, safe="")
    asked = "".join(
        f"&{key}={quote(value)}" for key, value in zip(("pageSize", "pageToken"), query.values(), strict=False)
    )
    for address in (
        "/v1/tenants/{}/corridors/{}".format(*segments),
        f"/v1/tenants/{segments[0]}/corridors?{asked}",
        f"/v1/domains/{segments[0]}/topology",
        f"/{quote(name)}",
    ):
        assert (await rest.get(address)).status_code < 500
        assert (await rest.delete(address)).status_code < 500
