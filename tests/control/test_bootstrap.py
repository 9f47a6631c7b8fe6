"""From cables to a live graph: what is UP was heard both ways, what is not planned is never used."""

from __future__ import annotations

import pytest
from running_controller import DOMAIN, Clock, Controller, corridor
from simulated_network import NEAREST_BRIDGE, SimulatedNetwork
from waiting import until

from controller.core.addresses import channel_address, router_mac
from controller.core.errors import Infeasible
from controller.core.model import LinkKind, Status
from controller.probes import Probe, build

BRIDGE = int.from_bytes(NEAREST_BRIDGE, "big")


async def test_every_planned_link_comes_up_with_the_ports_it_is_wired_to(controller: Controller) -> None:
    assert not controller.links_not(Status.UP)
    for name, cable in controller.network.cables.items():
        link = controller.state.topology.links[f"{DOMAIN}/links/{name}"]
        assert {(link.a_node, link.a_port), (link.z_node, link.z_port)} == {cable.a, cable.z}


async def test_trails_carry_frames_between_their_routers(controller: Controller) -> None:
    for link in controller.state.topology.of_kind(LinkKind.ADJACENCY):
        there, back = channel_address(link.slice_id, 0), channel_address(link.slice_id, 1)
        assert controller.network.reaches(link.a_node, there) == link.z_node
        assert controller.network.reaches(link.z_node, back) == link.a_node


async def test_an_adjacency_is_up_only_after_its_trail_stands(network: SimulatedNetwork, database: str) -> None:
    network["tz-o"].refuses = lambda change: True
    controller = await Controller(network, database).start()
    through = {f"{DOMAIN}/links/{n}" for n in ("A-sy-tz", "A-tz-yz", "A-cp-tz", "X-cp-yz")}
    await until(lambda: set(controller.links_not(Status.UP)) == through, "all but the trails by tz are up")
    network["tz-o"].refuses = lambda change: False
    await controller.bootstrapped()
    await controller.stop()


async def test_a_line_card_that_keeps_coming_back_hides_no_silence(controller: Controller) -> None:
    node = controller.network.otn("zgc-o")
    controller.network.cut("F-zgc-yz", silently=True)
    for _ in range(6):
        node.restart_line_card()
        await controller.rounds(1)
    assert controller.link("F-zgc-yz") is Status.DOWN


@pytest.mark.parametrize("deaf", ["zgc-o", "cp-o"])
async def test_one_way_light_is_no_link(network: SimulatedNetwork, database: str, deaf: str) -> None:
    device, port = network[deaf], next(e[1] for e in _ends(network, "F-zgc-cp") if e[0] == network[deaf].name)
    hear = device.punt
    device.punt = lambda number, frame: None if number == port else hear(number, frame)  # type: ignore[method-assign]
    controller = await Controller(network, database).start()
    seen = set[Status]()

    def given_up() -> bool:
        seen.add(controller.link("F-zgc-cp"))
        return Status.DOWN in seen

    def else_up() -> bool:
        return len(controller.links_not(Status.UP)) <= 3

    await until(lambda: given_up() and else_up(), "everything else is up, and it is no longer waited for")
    assert Status.UP not in seen
    await controller.rounds(1)
    assert controller.link("F-zgc-cp") is Status.DOWN
    await controller.stop()


async def test_an_unplugged_link_is_missing_and_not_used(network: SimulatedNetwork, database: str) -> None:
    network.unplug("F-zgc-yz")
    controller = await Controller(network, database).start()
    await until(lambda: len(controller.links_not(Status.UP)) == 2, "all but the fibre and its trail are up")
    assert controller.link("F-zgc-yz") is controller.link("A-zgc-yz") is Status.MISSING
    made = await controller.service.create_corridor("tenants/default", "c1", corridor())
    assert f"{DOMAIN}/links/F-zgc-yz" not in made.legs[0].links
    await controller.settled(made.name)
    await controller.stop()


async def test_unplanned_wiring_is_reported_and_never_used(controller: Controller) -> None:
    network = controller.network
    network.plug("stray", (network["zgc-o"].name, 9), (network["tz-o"].name, 9))

    def strays() -> list[Status]:
        known = {f"{DOMAIN}/links/{name}" for name in network.cables}
        links = controller.state.topology.links.values()
        return [link.status for link in links if link.kind is not LinkKind.ADJACENCY and link.name not in known]

    await until(strays, "the stray cable is reported")
    rounds = len(network.writes)
    await controller.rounds(5)
    await controller.in_line()
    assert strays() == [Status.UNPLANNED]
    assert len(network.writes) == rounds
    made = await controller.service.create_corridor("tenants/default", "c1", corridor("zgc-r:campus", "tz-r:cell"))
    assert all("unplanned" not in link for link in made.legs[0].links)


@pytest.mark.parametrize("silently", [False, True])
async def test_unplanned_wiring_that_is_taken_away_is_forgotten(controller: Controller, silently: bool) -> None:
    network, state = controller.network, controller.state
    network.plug("stray", (network["zgc-o"].name, 9), (network["tz-o"].name, 9))

    def strays() -> set[str]:
        return {link.name for link in state.topology.links.values() if link.status is Status.UNPLANNED}

    await until(strays, "the stray cable is reported")
    stray = strays()
    network["tz-o"].disconnect()
    await controller.rounds(6)
    assert strays() == stray, "one that does not answer says nothing of its cables"
    network["tz-o"].connect()
    await controller.rounds(6)
    assert strays() == stray, "it is still there"
    network.cut("stray", silently=silently)
    await until(lambda: not strays(), "it is gone from the topology")
    assert not controller.links_not(Status.UP)
    network.mend("stray")
    await until(lambda: strays() == stray, "it is reported again")


async def test_what_a_customer_sends_is_not_believed(controller: Controller) -> None:
    """LLDP is punted on every port, so a customer can forge it: the client link must not move to his port."""
    network, state = controller.network, controller.state
    network.cut("C-zgc-r", silently=True)
    await until(lambda: controller.link("C-zgc-r") is Status.DOWN, "the client link is down")
    links = dict(state.topology.links)
    trail = state.topology.links[f"{DOMAIN}/links/A-zgc-cp"]
    for _ in range(5):
        network["zgc-r"].punt(2, _hello(network["zgc-o"].name, 1))
        network["zgc-r"].punt(2, _hello("domains/metro-beijing/nodes/cp-r", 1))
        channel = Probe(trail.z_node, 1, (trail.slice_id, 1))
        network["zgc-r"].punt(2, build(channel, router_mac(2, 1), channel_address(trail.slice_id, 1)))
    await controller.rounds(3)
    assert {n: (k.a_port, k.z_port) for n, k in state.topology.links.items()} == {
        n: (k.a_port, k.z_port) for n, k in links.items()
    }
    assert not [name for name in state.topology.links if "unplanned" in name]


async def test_frames_that_are_no_probes_change_nothing(controller: Controller) -> None:
    before = controller.state.topology
    for frame in (b"", b"\0" * 60, _hello("domains/elsewhere/nodes/x", 1), _hello("zgc-o", 1)[:20]):
        controller.network["zgc-o"].punt(2, frame)
    await controller.rounds(1)
    assert controller.state.topology is before


async def test_measurements_are_no_probes_even_where_they_carry_one(controller: Controller) -> None:
    """STAMP (RFC 8762) is punted as LLDP is: UDP to port 862 of the router's own address."""
    before, router = controller.state.topology, controller.network["zgc-r"]
    for inside in (bytes(44), _hello(controller.network["yz-o"].name, 7)):
        udp = bytes.fromhex("c000035e") + (8 + len(inside)).to_bytes(2, "big") + b"\0\0" + inside
        addresses = bytes.fromhex("fcbbbb00000200000000000000000001fcbbbb00000100000000000000000001")
        ipv6 = bytes.fromhex("60000000") + len(udp).to_bytes(2, "big") + bytes.fromhex("1140") + addresses
        router.punt(1, router_mac(1, 1).to_bytes(6, "big") + bytes(6) + b"\x86\xdd" + ipv6 + udp)
    await controller.rounds(1)
    assert controller.state.topology is before


async def test_a_fibre_mended_at_other_ports_is_found_there(controller: Controller) -> None:
    network = controller.network
    made = await controller.service.create_corridor("tenants/default", "c1", corridor())
    await controller.settled(made.name)
    network.cut("F-zgc-yz")
    await until(lambda: controller.link("F-zgc-yz") is Status.DOWN, "the fibre is down")
    network.unplug("F-zgc-yz")
    network.plug("F-zgc-yz", (network["zgc-o"].name, 11), (network["yz-o"].name, 12))
    await until(lambda: not controller.links_not(Status.UP), "the fibre and its trail are up again")
    link = controller.state.topology.links[f"{DOMAIN}/links/F-zgc-yz"]
    assert (link.a_port, link.z_port) == (11, 12)
    await controller.in_line()


async def test_no_corridor_before_there_is_a_network(network: SimulatedNetwork, database: str) -> None:
    for device in network.devices.values():
        device.delay_s = 0.5
    controller = await Controller(network, database, Clock()).start()
    with pytest.raises(Infeasible) as refusal:
        await controller.service.create_corridor("tenants/default", "c1", corridor())
    assert refusal.value.reason == "NO_PATH"
    await controller.stop()


def _ends(network: SimulatedNetwork, cable: str) -> tuple[tuple[str, int], tuple[str, int]]:
    return network.cables[cable].a, network.cables[cable].z


def _hello(node: str, port: int) -> bytes:
    return build(Probe(node, port), router_mac(1, port), BRIDGE)
