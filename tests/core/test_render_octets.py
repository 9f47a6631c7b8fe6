"""What the controller renders for a whole domain, as octets: a customer's packet comes out at the other site unchanged.

The tables that `packet_walk` reads as the contract says are read here once more, by nodes that know the RFCs only.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

import pytest
from journeys import Flow, flows, port_of
from journeys import wires as cables
from networks import Network as Domain
from networks import chain, corridor, square
from rfc_router import BMV2, LINUX, Choices, Network, Router
from rfc_router.network import Place
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller.core.entries import CrossConnect, Entry, Exact, TableEntry
from controller.core.model import Isolation

HOST = 0x0A_00_00_00_00_09


def table(entries: Iterable[Entry], name: str) -> list[TableEntry]:
    return [each for each in entries if isinstance(each, TableEntry) and each.table == name]


def channels(domain: Domain) -> dict[tuple[Place, int], tuple[Place, int]]:
    """Where each adjacency of a router comes out: through the OTN nodes, which tell channels apart by their MAC."""
    held, across = domain.tables(), {}
    for _name, a, z in cables(domain):
        across[a], across[z] = z, a
    found = {}
    for router, entries in held.items():
        for hop in table(entries, "next_hop"):
            params = dict(hop.params)
            if hop.action == "to_adjacency":
                start = (router, params["port"]), params["dst_mac"]
                found[start] = through(held, across, *start)
    return found


def through(held: dict[str, tuple[Entry, ...]], across: dict[Place, Place], at: Place, mac: int) -> tuple[Place, int]:
    node, port = across[at]
    crossings = [
        each for each in held[node] if isinstance(each, CrossConnect) and (each.in_port, each.channel) == (port, mac)
    ]
    if not crossings:
        return (node, port), mac
    (crossing,) = crossings
    rewritten = crossing.rewrite or mac
    return through(held, across, (node, crossing.out_port), rewritten)


def network(domain: Domain, choices: Choices, packets: Iterable[tuple[Flow, int]]) -> Network:
    """The domain's routers, each of whose hosts is known wherever a customer's port is."""
    held = {name: [*entries] for name, entries in domain.tables().items() if table(entries, "port_role")}
    for flow, port in packets:
        address = ip_address(flow.packet.destination)
        match = (("addr", Exact(int(address))), ("port", Exact(port)))
        entry = TableEntry(f"host_v{address.version}", match, "set_dst_mac", (("mac", HOST),))
        if entry not in held[flow.sink.node]:
            held[flow.sink.node].append(entry)
    return Network({name: Router(entries, choices) for name, entries in held.items()}, channels(domain))


def customer(flow: Flow) -> Packet:
    source, destination, tos = flow.packet.source, flow.packet.destination, flow.packet.dscp << 2
    v4 = ip_address(destination).version == 4
    header = IP(src=source, dst=destination, tos=tos) if v4 else IPv6(src=source, dst=destination, tc=tos)
    return header / UDP(sport=1, dport=2, chksum=1) / Raw(b"of a customer")


@pytest.mark.parametrize("choices", [BMV2, LINUX], ids=["bmv2", "linux"])
@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize(("sites", "far"), [(0, 3), (4, 4), (8, 8)], ids=["square", "two carriers", "three carriers"])
def test_a_corridor_carries_both_families_both_ways(
    choices: Choices, isolation: Isolation, sites: int, far: int
) -> None:
    domain = Domain.of(chain(sites, twins=True) if sites else square())
    record = domain.stand(corridor(a=1, z=far, isolation=isolation))
    assert record.target is not None
    todo = [(flow, port_of(domain, flow.sink)) for flow in flows(domain, record.target)]
    nodes = network(domain, choices, todo)
    for flow, port in todo:
        start = flow.source.node, port_of(domain, flow.source)
        (role,) = [e for e in table(domain.tables()[start[0]], "port_role") if e.match == (("port", Exact(start[1])),)]
        packet, mac = customer(flow), dict(role.params)["mac"]
        way = nodes.send(start, bytes(Ether(dst=mac.to_bytes(6, "big").hex(":"), src="0a:00:00:00:00:01") / packet))
        place, frame = way.end
        assert tuple(way.nodes) == flow.routers
        assert place == (flow.sink.node, port)
        assert frame[14:] == bytes(with_less(packet, 2 if choices.entering_is_a_hop else 1))


def with_less(packet: Packet, hops: int) -> Packet:
    """The tunnel is one hop, and where the target counts it, its entry is another (RFC 2473 clause 6.3)."""
    if isinstance(packet, IP):
        packet.ttl -= hops
    else:
        packet.hlim -= hops
    return packet
