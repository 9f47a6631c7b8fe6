"""Entries of the packet pipeline for driver tests: one of every table and match kind."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from controller.core.entries import Entry, Exact, GroupEntry, GroupMember, Lpm, MeterEntry, TableEntry, Ternary


def ipv6(text: str) -> int:
    return int(IPv6Address(text))


def ipv4(text: str) -> int:
    return int(IPv4Address(text))


def prefix(bits: int, length: int) -> int:
    return (1 << bits) - (1 << (bits - length))


CARRIER = ipv6("fcbb:bb00:2:e003:d6::")
ROUTER_MAC = 0x06_00_00_01_00_01
CHANNEL = 0x02_00_00_00_07_01

ENTRIES: tuple[Entry, ...] = (
    TableEntry("tunnel_source", (), "set_tunnel_source", (("addr", ipv6("fcbb:bb00:1::1")),)),
    TableEntry("port_role", (("port", Exact(1)),), "network", (("mac", ROUTER_MAC),)),
    TableEntry("port_role", (("port", Exact(2)),), "customer", (("mac", ROUTER_MAC + 1), ("vrf", 7))),
    TableEntry("edge_filter", (("dst", Lpm(ipv6("fcbb:bb00::"), 32)),), "drop_infrastructure"),
    TableEntry(
        "next_hop",
        (("next_hop", Exact(10)),),
        "to_adjacency",
        (("port", 1), ("src_mac", ROUTER_MAC), ("dst_mac", CHANNEL)),
    ),
    TableEntry("next_hop", (("next_hop", Exact(11)),), "to_customer", (("port", 2),)),
    TableEntry("local_sid", (("dst", Lpm(ipv6("fcbb:bb00:1::"), 48)),), "u_n"),
    TableEntry("local_sid", (("dst", Lpm(ipv6("fcbb:bb00:1:e001::"), 64)),), "u_a", (("next_hop", 10),)),
    TableEntry("local_sid", (("dst", Lpm(ipv6("fcbb:bb00:1:e002::"), 64)),), "u_dt6", (("vrf", 7),)),
    TableEntry("policy", (("policy", Exact(5)),), "encap_red_1", (("next_hop", 10), ("carrier1", CARRIER))),
    TableEntry(
        "policy",
        (("policy", Exact(6)),),
        "encap_red_3",
        (("next_hop", 10), ("carrier1", CARRIER), ("carrier2", CARRIER + 1), ("carrier3", CARRIER + 2)),
    ),
    MeterEntry("slice_meter", 3, 2_500_000, 60_000),
    TableEntry(
        "classifier_v6",
        (
            ("dscp", Ternary(46, 63)),
            ("dst", Ternary(ipv6("2001:db8:2::"), prefix(128, 48))),
            ("src", Ternary(ipv6("2001:db8:1::"), prefix(128, 48))),
            ("vrf", Exact(7)),
        ),
        "set_policy",
        (("policy", 5), ("corridor", 3), ("mtu", 1500)),
        priority=100,
    ),
    TableEntry(
        "classifier_v4",
        (("dst", Ternary(ipv4("10.2.0.0"), prefix(32, 24))), ("vrf", Exact(7))),
        "set_policy",
        (("policy", 6), ("corridor", 3), ("mtu", 1500)),
        priority=90,
    ),
    TableEntry(
        "route_v6", (("dst", Lpm(ipv6("2001:db8:1::"), 64)), ("vrf", Exact(7))), "set_next_hop", (("next_hop", 11),)
    ),
    TableEntry(
        "route_v4", (("dst", Lpm(ipv4("10.1.0.0"), 24)), ("vrf", Exact(7))), "set_next_hop", (("next_hop", 11),)
    ),
    TableEntry(
        "route_v6", (("dst", Lpm(ipv6("fcbb:bb00:2::"), 48)), ("vrf", Exact(0))), "set_next_hop", (("next_hop", 10),)
    ),
)

HOST_MAC = (("mac", 0x0A_00_00_00_00_02),)
HOSTS: tuple[Entry, ...] = (
    TableEntry("host_v6", (("addr", Exact(ipv6("2001:db8:1::2"))), ("port", Exact(2))), "set_dst_mac", HOST_MAC),
    TableEntry("host_v4", (("addr", Exact(ipv4("10.1.0.2"))), ("port", Exact(2))), "set_dst_mac", HOST_MAC),
)
"""Only for targets that do not resolve neighbours themselves."""

_BY_HOP = tuple(
    GroupMember("set_next_hop", (("next_hop", hop),), weight, port) for hop, weight, port in ((10, 3, 1), (12, 1, 3))
)
GROUPS: tuple[Entry, ...] = (
    TableEntry(
        "next_hop",
        (("next_hop", Exact(12)),),
        "to_adjacency",
        (("port", 3), ("src_mac", ROUTER_MAC + 2), ("dst_mac", CHANNEL + 1)),
    ),
    GroupEntry("next_hop_group", (("group", Exact(20)),), _BY_HOP),
    GroupEntry("next_hop_group", (("group", Exact(21)),), _BY_HOP[:1]),
    TableEntry(
        "route_v6", (("dst", Lpm(ipv6("fcbb:bb00:3::"), 48)), ("vrf", Exact(0))), "set_next_hop_group", (("group", 20),)
    ),
)
"""Routes over several adjacencies; they go with `ENTRIES`."""

PROGRAM_ONLY: tuple[Entry, ...] = (
    TableEntry(
        "gateway", (("port", Exact(2)),), "set_gateway", (("ipv4", ipv4("10.1.0.1")), ("ipv6", ipv6("fe80::1")))
    ),
    TableEntry("node_address", (("dst", Exact(ipv6("fcbb:bb00:1::1"))),), "to_node"),
    TableEntry("color_policy", (("color", Exact(1)), ("corridor", Exact(3))), "mark_dscp", (("dscp", 10),)),
    TableEntry("color_policy", (("color", Exact(2)), ("corridor", Exact(3))), "drop_colored"),
    MeterEntry("slice_meter", 4, 2_500_000, 60_000, 5_000_000, 90_000),
    MeterEntry("icmp_limit", 2, 100, 20),
)
"""What the P4 program does and a kernel does by itself, or not."""

_OTHER_NUMBER = {
    "addr": ipv6("fcbb:bb00:1::2"),
    "mac": 0x06_00_00_01_00_09,
    "dst_mac": CHANNEL ^ 1,
    "carrier1": ipv6("fcbb:bb00:3:e004:d6::"),
    "mtu": 1400,
    "port": 1,
    "next_hop": 10,
    "vrf": 8,
    "dscp": 12,
    "ipv4": ipv4("10.1.0.254"),
}


def modified(entry: Entry) -> Entry:
    """The same key, another value; an entry whose action has no parameters stays as it is."""
    if isinstance(entry, MeterEntry):
        return replace(entry, rate=entry.rate * 2, peak_rate=entry.peak_rate * 2)
    if isinstance(entry, GroupEntry):
        return replace(entry, members=tuple(replace(each, weight=each.weight + 1) for each in entry.members))
    assert isinstance(entry, TableEntry)
    params = tuple((name, _OTHER_NUMBER.get(name, number)) for name, number in entry.params)
    return replace(entry, params=params)
