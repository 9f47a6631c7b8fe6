"""The optical views over REST: instance data of YANG modules, read only."""

from __future__ import annotations

import httpx
import pytest

from tests.api.fake_service import TOPOLOGY


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/otn/topology", {"ietf-network:networks": {"network": [{"network-id": TOPOLOGY.name}]}}),
        ("/v1/otn/tunnels", {"ietf-te:te": {"tunnels": {"tunnel": []}}}),
    ],
)
async def test_views_are_yang_data(rest: httpx.AsyncClient, path: str, body: object) -> None:
    response = await rest.get(path)
    assert (response.status_code, response.json()) == (200, body)
    assert response.headers["content-type"] == "application/yang-data+json"
    refused = await rest.post(path, json={})
    assert refused.status_code == 405
    assert refused.headers["content-type"] == "application/problem+json"


async def test_views_are_in_the_description_of_the_interface(rest: httpx.AsyncClient) -> None:
    document = (await rest.get("/openapi.json")).json()
    for path in ("/v1/otn/topology", "/v1/otn/tunnels"):
        assert "application/yang-data+json" in document["paths"][path]["get"]["responses"]["200"]["content"]
