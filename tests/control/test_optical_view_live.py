"""The optical views of a running controller over REST: what a client reads is what the controller holds."""

from __future__ import annotations

import httpx
from running_controller import Controller, corridor

from controller.api.rest_face import rest_app
from controller.core.otn import RowKey, parse_slots


async def test_a_corridor_is_seen_on_its_links_and_as_a_tunnel(controller: Controller) -> None:
    made = await controller.service.create_corridor("tenants/default", "c1", corridor())
    await controller.settled(made.name)
    settled = await controller.service.get_corridor(made.name)
    [part] = settled.legs[0].slices
    transport = httpx.ASGITransport(rest_app(controller.service))
    async with httpx.AsyncClient(transport=transport, base_url="http://controller") as client:
        seen = (await client.get("/v1/otn/topology")).json()["ietf-network:networks"]["network"][0]
        told = (await client.get("/v1/otn/tunnels")).json()["ietf-te:te"]["tunnels"]["tunnel"]
    links = {link["link-id"]: link for link in seen["ietf-network-topology:link"]}
    for hop in part.hops:
        for direction, way in ((0, "a-z"), (1, "z-a")):
            te = links[f"{hop.link}/{way}"]["ietf-te-topology:te"]
            [restriction] = te["te-link-attributes"]["label-restrictions"]["label-restriction"]
            reserved = [each["fgts-reserved"] for each in restriction["ietf-fgotn-topology:fgts-range"]]
            row = controller.state.snapshot().ledger.row(RowKey(hop.link, hop.server, direction))
            assert row.bitmap.bit_count() == part.claimed_slots
            assert sorted(parse_slots(next(filter(None, reserved)))) == sorted(parse_slots(hop.slots))
            assert te["oper-status"] == "up"
    [tunnel] = [each for each in told if each["name"] == made.name]
    [path] = tunnel["primary-paths"]["primary-path"]
    hops = path["explicit-route-objects"]["route-object-include-exclude"]
    assert len(hops) == 2 * len(part.hops)
    trails = [link.name for link in controller.state.topology.links.values() if link.trail]
    assert sorted(each["name"] for each in told) == sorted([*trails, made.name])
