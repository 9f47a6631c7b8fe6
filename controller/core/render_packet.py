"""Render corridors and infrastructure into the tables of packet nodes, by the names of `p4/corridor.p4`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_address, ip_interface

from controller.core import srv6
from controller.core.addresses import channel_address, mac_number, router_mac
from controller.core.entries import Entry, Exact, Lpm, MatchValue, MeterEntry, TableEntry, Ternary
from controller.core.ids import Ids
from controller.core.ip_addresses import ipv6_number, network_of
from controller.core.model import AccessPort, EndPoint, Node, SegmentList
from controller.core.otn.rates import ETHERNET_HEADER_BYTES, arriving_bytes_per_s
from controller.core.records import (
    Placement,
    adjacency_ids,
    customer_port_id,
    decapsulation_ids,
    headend_ids,
    overheads,
)
from controller.core.topology import Topology, port_at

UNDERLAY_VRF = 0
SHAPER_BURST_S = 0.01
MIN_BURST_BYTES = 18_000
"""Two jumbo frames: below that a shaper cannot reach its rate."""
POLICER_BURST_S = 0.05
"""What a policer lets through at once. More than the hiccups of a switch in software, which are sent on as bursts; so
little that over three seconds it adds less than 2 % to the rate. Well within what OTN meters let through at once."""
POLICER_BURST_FRAMES = 2
"""At least so many of the corridor's largest: a bucket that holds less than one never lets one through."""
ICMP_PER_S, ICMP_BURST = 100, 100
"""Answers and errors that a customer port may cause (RFC 4443 2.4 f)."""


def entry(table: str, match: dict[str, MatchValue], action: str, priority: int = 0, **params: int) -> TableEntry:
    """A table entry in canonical form."""
    return TableEntry(table, tuple(sorted(match.items())), action, tuple(params.items()), priority)


def node_ids(node: Node) -> tuple[int, ...]:
    """What a router answers to, an id per algorithm (0, 128); every function is known below each."""
    return (node.node_id, node.delay_node_id) if node.delay_node_id else (node.node_id,)


def adjacency_entries(topology: Topology, ids: Ids, router: str, slice_id: int, direction: int) -> Iterator[Entry]:
    """A slice or trail as one more adjacency of `router`: next hop on its channel, and the uA segment over it."""
    hop_key, function_key = adjacency_ids(router, slice_id)
    node = topology.nodes[router]
    port = port_at(topology.client_links[router], router)
    yield entry(
        "next_hop",
        {"next_hop": Exact(ids[hop_key])},
        "to_adjacency",
        port=port,
        src_mac=router_mac(node.node_id, port),
        dst_mac=channel_address(slice_id, direction),
    )
    for node_id in node_ids(node):
        sid = srv6.function_sid(topology.srv6_block, node_id, ids[function_key])
        yield entry("local_sid", {"dst": Lpm(*sid)}, "u_a", next_hop=ids[hop_key])


def customer_entries(topology: Topology, ids: Ids, end: EndPoint, vrf: int) -> Iterator[Entry]:
    """What a corridor's end needs to receive: the port in its VRF, the prefixes behind it, the VRF's uDT segments."""
    router = end.node
    node, access = topology.nodes[router], topology.access_port(router, end.port)
    assert access is not None, "validated at admission"
    mac = router_mac(node.node_id, access.port)
    yield entry("port_role", {"port": Exact(access.port)}, "customer", mac=mac, vrf=vrf)
    if not node.capabilities.resolves_neighbors:
        yield from neighbor_entries(access)
    next_hop = ids[customer_port_id(router, access.port)]
    yield entry("next_hop", {"next_hop": Exact(next_hop)}, "to_customer", port=access.port)
    for prefix in (*end.ipv6_prefixes, *end.ipv4_prefixes):
        yield route(vrf, prefix, next_hop)
    for key, action in zip(decapsulation_ids(router, vrf), ("u_dt6", "u_dt4"), strict=True):
        for node_id in node_ids(node):
            sid = srv6.function_sid(topology.srv6_block, node_id, ids[key])
            yield entry("local_sid", {"dst": Lpm(*sid)}, action, vrf=vrf)


def neighbor_entries(access: AccessPort) -> Iterator[Entry]:
    """What stands in for ARP and neighbour discovery of a router's own: its addresses on a customer port, to answer
    for and to send errors from, how many of both, and the machines that are known there."""
    gateways = (access.ipv4_gateway, access.ipv6_gateway)
    four, six = (int(ip_interface(text).ip) if text else 0 for text in gateways)
    yield entry("gateway", {"port": Exact(access.port)}, "set_gateway", ipv4=four, ipv6=six)
    yield MeterEntry("icmp_limit", access.port, ICMP_PER_S, ICMP_BURST)
    for neighbor in access.neighbors:
        address = ip_address(neighbor.address)
        match: dict[str, MatchValue] = {"port": Exact(access.port), "addr": Exact(int(address))}
        yield entry(f"host_v{address.version}", match, "set_dst_mac", mac=mac_number(neighbor.mac))


def route(vrf: int, prefix: str, next_hop: int) -> TableEntry:
    network = network_of(prefix)
    table = "route_v4" if isinstance(network, IPv4Network) else "route_v6"
    match: dict[str, MatchValue] = {"vrf": Exact(vrf), "dst": Lpm(int(network.network_address), network.prefixlen)}
    return entry(table, match, "set_next_hop", next_hop=next_hop)


def headend_entries(topology: Topology, ids: Ids, corridor: str, placement: Placement) -> Iterator[tuple[str, Entry]]:
    """(router, entry) pairs that steer both directions into the corridor."""
    leg, first, last = placement.leg, *_first_hops(topology, placement)
    there, back = overheads(leg)
    yield from _headend(
        topology,
        ids,
        corridor,
        placement,
        placement.a_end,
        placement.z_end,
        first,
        placement.forward_kbps,
        there,
        (leg.forward, leg.forward_ipv4),
    )
    yield from _headend(
        topology,
        ids,
        corridor,
        placement,
        placement.z_end,
        placement.a_end,
        last,
        placement.reverse_kbps,
        back,
        (leg.reverse, leg.reverse_ipv4),
    )


def _first_hops(topology: Topology, placement: Placement) -> tuple[int, int]:
    """Slice or trail ids of the first adjacency in each direction."""
    if placement.slice:
        return placement.slice.id, placement.slice.id
    links = placement.leg.links
    return topology.links[links[0]].slice_id, topology.links[links[-1]].slice_id


def _headend(
    topology: Topology,
    ids: Ids,
    corridor: str,
    placement: Placement,
    source: EndPoint,
    sink: EndPoint,
    slice_id: int,
    kbps: int,
    overhead: int,
    lists: tuple[SegmentList, SegmentList],
) -> Iterator[tuple[str, Entry]]:
    router = source.node
    *policies, index = headend_ids(router, corridor)
    next_hop = ids[adjacency_ids(router, slice_id)[0]]
    if topology.nodes[router].capabilities.shaping:
        yield router, shaper(ids[index], kbps)
    else:
        arriving = arriving_bytes_per_s(kbps, placement.reference_packet_bytes, overhead)
        yield router, policer(ids[index], arriving, placement.mtu_bytes)
    families = zip(policies, lists, _families(source, sink), strict=True)
    for key, segments, (sources, sinks) in families:
        if not sources:
            continue
        yield router, policy(ids[key], next_hop, segments)
        for a in sources:
            for z in sinks:
                yield router, _classifier(placement, a, z, source.dscp, ids[key], ids[index])


def _families(source: EndPoint, sink: EndPoint) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    return (source.ipv6_prefixes, sink.ipv6_prefixes), (source.ipv4_prefixes, sink.ipv4_prefixes)


def shaper(index: int, kbps: int) -> MeterEntry:
    """The slice meter of a headend that queues: bytes on the wire.

    Committed and peak rate are one, here and in a policer: nothing is yellow, and nobody writes `color_policy` yet.
    """
    rate = kbps * 1000 // 8
    return MeterEntry("slice_meter", index, rate, max(MIN_BURST_BYTES, int(rate * SHAPER_BURST_S)))


def policer(index: int, bytes_per_s: int, mtu_bytes: int) -> MeterEntry:
    """The slice meter of a headend that drops: customers' frames as they arrive (`arriving_bytes_per_s`)."""
    largest = mtu_bytes + ETHERNET_HEADER_BYTES
    burst = max(POLICER_BURST_FRAMES * largest, int(bytes_per_s * POLICER_BURST_S))
    return MeterEntry("slice_meter", index, bytes_per_s, burst)


def policy(policy_id: int, next_hop: int, segments: SegmentList) -> TableEntry:
    carriers = {f"carrier{i}": ipv6_number(text) for i, text in enumerate(segments.carriers, 1)}
    action = f"encap_red_{len(carriers)}"
    return entry("policy", {"policy": Exact(policy_id)}, action, next_hop=next_hop, **carriers)


def _classifier(placement: Placement, a: str, z: str, dscp: int | None, policy_id: int, index: int) -> TableEntry:
    source, sink = network_of(a), network_of(z)
    match: dict[str, MatchValue] = {
        "vrf": Exact(placement.vrf),
        "src": Ternary(int(source.network_address), int(source.netmask)),
        "dst": Ternary(int(sink.network_address), int(sink.netmask)),
    }
    if dscp is not None:
        match["dscp"] = Ternary(dscp, 0x3F)
    # A code point first, then the longer source, then the longer destination: no two that overlap are equal.
    priority = 1 + sink.prefixlen + (source.prefixlen << 8) + (1 << 16 if dscp is not None else 0)
    table = "classifier_v4" if isinstance(source, IPv4Network) else "classifier_v6"
    return entry(table, match, "set_policy", priority, policy=policy_id, corridor=index, mtu=placement.mtu_bytes)


def node_entries(topology: Topology, router: str, infrastructure: Iterable[tuple[int, int]]) -> Iterator[Entry]:
    """What every router of the domain has: network port, own locators, own address, outer source, edge filter."""
    node, block = topology.nodes[router], topology.srv6_block
    port = port_at(topology.client_links[router], router)
    if port:
        yield entry("port_role", {"port": Exact(port)}, "network", mac=router_mac(node.node_id, port))
    for node_id in node_ids(node):
        yield entry("local_sid", {"dst": Lpm(*srv6.locator(block, node_id))}, "u_n")
    own = srv6.node_address(block, node.node_id)
    yield entry("tunnel_source", {}, "set_tunnel_source", addr=own)
    yield entry("node_address", {"dst": Exact(own)}, "to_node")
    for prefix, length in infrastructure:
        yield entry("edge_filter", {"dst": Lpm(prefix, length)}, "drop_infrastructure")
