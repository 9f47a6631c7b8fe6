"""Lists that the controller encodes, as octets through routers that know the RFCs and nothing of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from forced_paths import SEEDS, Case, case
from hypothesis import assume, given, settings
from rfc_router import BMV2, LINUX, Choices, Network, Router
from rfc_router.network import Place
from router_simulation import PREFIX, TAIL
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from controller.core.entries import Entry, Exact, Lpm, MatchValue, TableEntry
from controller.core.errors import Infeasible
from controller.core.segments.encoding import Encoding

VRF, SITE, TO_HOST = 7, 100, 1000
"""Port and next hop of the customer at either end."""
HOST, GATEWAY = 0x0A_00_00_00_00_02, 0x06_00_00_00_00_64


def entry(table: str, match: dict[str, MatchValue], action: str, **params: int) -> TableEntry:
    return TableEntry(table, tuple(sorted(match.items())), action, tuple(params.items()))


def link_entries(its: Case, node: str) -> list[Entry]:
    """A port for each of the node's links, and the uA over it in each algorithm."""
    found: list[Entry] = []
    for port, link in enumerate(its.network.ports(node), 1):
        mac = 0x06_00_00_00_00_00 + port
        found.append(entry("port_role", {"port": Exact(port)}, "network", mac=mac))
        found.append(entry("next_hop", {"next_hop": Exact(port)}, "to_adjacency", port=port, src_mac=mac, dst_mac=port))
        for by in its.algorithms:
            function = PREFIX << 96 | its.ids(by)[node] << 80 | its.network.adjacency(node, link.name) << 64
            found.append(entry("local_sid", {"dst": Lpm(function, 64)}, "u_a", next_hop=port))
    return found


def locators(its: Case, node: str) -> list[Entry]:
    """The node's own, with the tail's function below, and of several equal ways to each other one the last."""
    found: list[Entry] = []
    ports = {link.name: port for port, link in enumerate(its.network.ports(node), 1)}
    for by in its.algorithms:
        for other, number in its.ids(by).items():
            prefix = PREFIX << 96 | number << 80
            if other == node:
                found.append(entry("local_sid", {"dst": Lpm(prefix, 48)}, "u_n"))
                found.append(entry("local_sid", {"dst": Lpm(prefix | TAIL << 64, 64)}, "u_dt6", vrf=VRF))
            elif links := its.network.routes(by, node, other):
                match: dict[str, MatchValue] = {"vrf": Exact(0), "dst": Lpm(prefix, 48)}
                found.append(entry("route_v6", match, "set_next_hop", next_hop=ports[links[-1].name]))
    return found


def headend(its: Case, made: Encoding) -> list[Entry]:
    """At n0: all of the site's traffic into the list, whose first link is p0."""
    carriers = {f"carrier{i}": int.from_bytes(ip(text), "big") for i, text in enumerate(made.segments.carriers, 1)}
    first = [link.name for link in its.network.ports("n0")].index("p0") + 1
    steering = TableEntry(
        "classifier_v6", (("vrf", Exact(VRF)),), "set_policy", (("policy", 1), ("corridor", 1), ("mtu", 1500)), 1
    )
    listed = entry("policy", {"policy": Exact(1)}, f"encap_red_{len(carriers)}", next_hop=first, **carriers)
    return [steering, listed, entry("tunnel_source", {}, "set_tunnel_source", addr=PREFIX << 96 | 1)]


def ip(text: str) -> bytes:
    return bytes(IPv6(dst=text))[24:40]


def site() -> list[Entry]:
    everywhere: dict[str, MatchValue] = {"vrf": Exact(VRF), "dst": Lpm(0x20010DB8 << 96, 32)}
    host: dict[str, MatchValue] = {"port": Exact(SITE), "addr": Exact(int.from_bytes(ip("2001:db8:2::2"), "big"))}
    return [
        entry("port_role", {"port": Exact(SITE)}, "customer", mac=GATEWAY, vrf=VRF),
        entry("next_hop", {"next_hop": Exact(TO_HOST)}, "to_customer", port=SITE),
        entry("route_v6", everywhere, "set_next_hop", next_hop=TO_HOST),
        entry("host_v6", host, "set_dst_mac", mac=HOST),
    ]


def wires(its: Case) -> dict[tuple[Place, int], tuple[Place, int]]:
    """The destination MAC on a link is the number of the port that it leaves by."""
    found: dict[tuple[Place, int], tuple[Place, int]] = {}
    ends = {(node, link.name): port for node in its.nodes for port, link in enumerate(its.network.ports(node), 1)}
    for link in its.links:
        if link.name in its.closed:
            continue
        for here, there in ((link.a_node, link.z_node), (link.z_node, link.a_node)):
            port, far = ends[here, link.name], ends[there, link.name]
            found[(here, port), port] = (there, far), 0x06_00_00_00_00_00 + far
    return found


@pytest.mark.parametrize("choices", [BMV2, LINUX], ids=["bmv2", "linux"])
@settings(max_examples=150, deadline=None)
@given(seed=SEEDS)
def test_a_list_takes_a_packet_along_its_path_to_the_host(seed: int, choices: Choices) -> None:
    its = replace(case(seed, 9), carriers=3)
    try:
        made = its.encoded()
    except Infeasible:
        assume(False)
    entries = {node: [*link_entries(its, node), *locators(its, node), *site()] for node in its.nodes}
    entries["n0"] += headend(its, made)
    network = Network({node: Router(held, choices) for node, held in entries.items()}, wires(its))
    packet = IPv6(src="2001:db8:1::2", dst="2001:db8:2::2", hlim=64) / Raw(b"to be delivered")
    way = network.send(("n0", SITE), bytes(Ether(src=HOST.to_bytes(6, "big"), dst=GATEWAY.to_bytes(6, "big")) / packet))
    (place, frame) = way.end
    assert tuple(way.nodes) == its.nodes
    assert links_of(way.hops, its) == its.path.links
    assert place == (its.nodes[-1], SITE)
    packet.hlim = 62 if choices.entering_is_a_hop else 63
    assert frame[14:] == bytes(packet)


def links_of(hops: list[tuple[Place, bytes]], its: Case) -> tuple[str, ...]:
    return tuple(its.network.ports(node)[port - 1].name for (node, port), _ in hops[:-1])
