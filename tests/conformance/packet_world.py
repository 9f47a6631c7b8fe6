"""Router 1 of the conformance suite, and the entries that it holds.

It has two network ports (1 and 4), two customer ports (2: VRF 7, 3: VRF 8) whose hosts have the same addresses, and
port 5, which has no role.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from controller.core.entries import Entry, Exact, GroupEntry, GroupMember, Lpm, MeterEntry, TableEntry, Ternary

MAC = {port: f"06:00:00:01:00:{port:02x}" for port in (1, 2, 3, 4, 5)}
HOST = {2: "0a:00:00:00:00:02", 3: "0a:00:00:00:00:03"}
CHANNEL = {1: "02:00:00:00:07:00", 4: "02:00:00:00:08:01"}
NEIGHBOUR = "06:00:00:02:00:01"
SOURCE = "fcbb:bb00:1::1"
A6, Z6, A4, Z4 = "2001:db8:1::2", "2001:db8:2::2", "10.1.0.2", "10.2.0.2"
CARRIERS = ("fcbb:bb00:2:e003:3::", "fcbb:bb00:4:5:6:7:8:9", "fcbb:bb00:a:e107::")
CORRIDOR, METERED = 5, 6


def mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def v6(text: str) -> int:
    return int(IPv6Address(text))


def v4(text: str) -> int:
    return int(IPv4Address(text))


def sid(address: str, length: int, action: str, **params: int) -> TableEntry:
    return TableEntry("local_sid", (("dst", Lpm(v6(address), length)),), action, tuple(params.items()))


def route(table: str, vrf: int, value: int, length: int, next_hop: int) -> TableEntry:
    match = (("dst", Lpm(value, length)), ("vrf", Exact(vrf)))
    return TableEntry(table, match, "set_next_hop", (("next_hop", next_hop),))


def adjacency(number: int, port: int) -> TableEntry:
    params = (("port", port), ("src_mac", mac(MAC[port])), ("dst_mac", mac(CHANNEL[port])))
    return TableEntry("next_hop", (("next_hop", Exact(number)),), "to_adjacency", params)


def customer(port: int, vrf: int) -> list[Entry]:
    """A customer port with the two prefixes and the one host behind it."""
    number = port * 10
    host = (("mac", mac(HOST[port])),)
    return [
        TableEntry("port_role", (("port", Exact(port)),), "customer", (("mac", mac(MAC[port])), ("vrf", vrf))),
        TableEntry("next_hop", (("next_hop", Exact(number)),), "to_customer", (("port", port),)),
        route("route_v6", vrf, v6("2001:db8:1::"), 64, number),
        route("route_v4", vrf, v4("10.1.0.0"), 24, number),
        TableEntry("host_v6", (("addr", Exact(v6(A6))), ("port", Exact(port))), "set_dst_mac", host),
        TableEntry("host_v4", (("addr", Exact(v4(A4))), ("port", Exact(port))), "set_dst_mac", host),
    ]


def policy(number: int, carriers: tuple[str, ...]) -> TableEntry:
    params = [("next_hop", 10)] + [(f"carrier{n}", v6(carrier)) for n, carrier in enumerate(carriers, 1)]
    return TableEntry("policy", (("policy", Exact(number)),), f"encap_red_{len(carriers)}", tuple(params))


def v6_prefix(text: str) -> Ternary:
    address, length = text.split("/")
    mask = (1 << 128) - (1 << (128 - int(length)))
    return Ternary(v6(address) & mask, mask)


def classifier(policy: int, corridor: int, priority: int, mtu: int = 1500, **fields: Ternary) -> TableEntry:
    match = tuple(sorted([*fields.items(), ("vrf", Exact(7))], key=lambda item: item[0]))
    params = (("policy", policy), ("corridor", corridor), ("mtu", mtu))
    return TableEntry("classifier_v6", match, "set_policy", params, priority)


SITES = {"src": v6_prefix("2001:db8:1::/64"), "dst": v6_prefix("2001:db8:2::/64")}
SMALL_MTU = classifier(1, 7, 43, mtu=1279)
CARELESS = [  # rules that would carry what the edge has to stop, so that only the edge can stop it
    classifier(1, CORRIDOR, 1, dst=v6_prefix("fcbb::/16")),
    classifier(1, CORRIDOR, 2, dst=v6_prefix("ff00::/8")),
    classifier(1, CORRIDOR, 3, src=v6_prefix("fe80::/10")),
]
CLASSIFIER_V4 = TableEntry(
    "classifier_v4",
    (("dst", Ternary(v4("10.2.0.0"), 0xFFFFFF00)), ("vrf", Exact(7))),
    "set_policy",
    (("policy", 2), ("corridor", CORRIDOR), ("mtu", 1500)),
    10,
)
TUNNEL_SOURCE = TableEntry("tunnel_source", (), "set_tunnel_source", (("addr", v6(SOURCE)),))
END_DX4 = sid("fcbb:bb00:1:e300::5", 128, "end_dx4", next_hop=30)
"""To any next hop, here to a customer port."""
END_PSP = sid("fcbb:bb00:1:e300::7", 128, "end_flavors", flavors=1)
END_USD = sid("fcbb:bb00:1:e300::8", 128, "end_flavors", flavors=2)
END_PSP_USD = sid("fcbb:bb00:1:e300::9", 128, "end_flavors", flavors=3)
END_X_PSP = sid("fcbb:bb00:1:e300::a", 128, "end_x_flavors", next_hop=11, flavors=1)
END_X_USD = sid("fcbb:bb00:1:e300::b", 128, "end_x_flavors", next_hop=11, flavors=2)
END_X_PSP_USD = sid("fcbb:bb00:1:e300::c", 128, "end_x_flavors", next_hop=11, flavors=3)


def group(number: int, *members: tuple[int, int, int]) -> GroupEntry:
    """Members as (next hop, weight, watched port)."""
    choices = tuple(GroupMember("set_next_hop", (("next_hop", hop),), share, port) for hop, share, port in members)
    return GroupEntry("next_hop_group", (("group", Exact(number)),), choices)


def group_route(table: str, vrf: int, value: int, length: int, number: int) -> TableEntry:
    match = (("dst", Lpm(value, length)), ("vrf", Exact(vrf)))
    return TableEntry(table, match, "set_next_hop_group", (("group", number),))


EVEN, UNEVEN = 1, 2
"""Groups over ports 1 and 4."""
GROUPS: list[Entry] = [
    group(EVEN, (10, 1, 1), (11, 1, 4)),
    group(UNEVEN, (10, 1, 1), (11, 3, 4)),
    group_route("route_v6", 0, v6("fcbb:bb00:6::"), 48, EVEN),
    group_route("route_v6", 0, v6("fcbb:bb00:7::"), 48, UNEVEN),
    group_route("route_v4", 7, v4("10.6.0.0"), 16, EVEN),
]
ENTRIES: list[Entry] = [
    TUNNEL_SOURCE,
    *(TableEntry("port_role", (("port", Exact(p)),), "network", (("mac", mac(MAC[p])),)) for p in (1, 4)),
    TableEntry("edge_filter", (("dst", Lpm(v6("fcbb:bb00::"), 32)),), "drop_infrastructure"),
    adjacency(10, 1),
    adjacency(11, 4),
    *customer(2, 7),
    *customer(3, 8),
    sid("fcbb:bb00:1::", 48, "u_n"),
    sid("fcbb:bb00:1:e001::", 64, "u_a", next_hop=11),
    sid("fcbb:bb00:1:e107::", 64, "u_dt6", vrf=7),
    sid("fcbb:bb00:1:e108::", 64, "u_dt6", vrf=8),
    sid("fcbb:bb00:1:e207::", 64, "u_dt4", vrf=7),
    sid("fcbb:bb00:1:e208::", 64, "u_dt4", vrf=8),
    sid("fcbb:bb00:1:e300::1", 128, "end"),
    sid("fcbb:bb00:1:e300::2", 128, "end_x", next_hop=11),
    sid("fcbb:bb00:1:e300::3", 128, "end_dt6", vrf=7),
    sid("fcbb:bb00:1:e300::4", 128, "end_dt4", vrf=8),
    END_DX4,
    END_PSP,
    END_USD,
    END_PSP_USD,
    END_X_PSP,
    END_X_USD,
    END_X_PSP_USD,
    sid("fcbb:bb00:1:e300::6", 128, "end_dx4", next_hop=11),
    route("route_v6", 0, v6("fcbb:bb00:2::"), 48, 10),
    route("route_v6", 0, v6("fcbb:bb00:3::"), 48, 11),
    route("route_v4", 0, v4("10.7.0.0"), 16, 10),
    TableEntry("route_v6", (("dst", Lpm(v6("2001:db8:3::"), 48)), ("vrf", Exact(7))), "drop_route"),
    TableEntry("route_v4", (("dst", Lpm(v4("10.3.0.0"), 16)), ("vrf", Exact(7))), "drop_route"),
    policy(1, CARRIERS[:1]),
    policy(2, CARRIERS[:2]),
    policy(3, CARRIERS),
    classifier(1, CORRIDOR, 10, **SITES),
    classifier(3, CORRIDOR, 20, **SITES, dscp=Ternary(46, 63)),
    classifier(1, METERED, 30, **SITES, dscp=Ternary(10, 63)),
    *CARELESS,
    CLASSIFIER_V4,
    MeterEntry("slice_meter", METERED, 1, 4000),  # a byte a second: the burst is all that ever passes
    TableEntry("node_address", (("dst", Exact(v6(SOURCE))),), "to_node"),
]


def probe(
    session: int, carriers: tuple[str, ...], interval_us: int = 10_000, detect_us: int = 25_000, next_hop: int = 10
) -> TableEntry:
    """A way around that ends at this router."""
    params = [("next_hop", next_hop), ("interval_us", interval_us), ("detect_us", detect_us)]
    params += [(f"carrier{n}", v6(carrier)) for n, carrier in enumerate(carriers, 1)]
    return TableEntry("path_probe", (("session", Exact(session)),), f"probe_{len(carriers)}", tuple(params))


def backed(policy: int, backup: int, session: int, backup_session: int, revertive: int = 1) -> TableEntry:
    params = (("backup", backup), ("session", session), ("backup_session", backup_session))
    times = (("hold_off_ms", 0), ("wait_to_restore_ms", 5000), ("revertive", revertive))
    return TableEntry("policy_backup", (("policy", Exact(policy)),), "set_backup", params + times)


PROTECTED: list[Entry] = [
    probe(1, (CARRIERS[0], SOURCE)),
    probe(2, (CARRIERS[1], CARRIERS[2], SOURCE), next_hop=11),
    probe(3, (SOURCE,), 1_000_000, 3_500_000),
    backed(1, 3, 1, 2),
]
GATEWAY_6, GATEWAY_4 = "2001:db8:1::1", "10.1.0.1"


def gateway(port: int, ipv4: str = GATEWAY_4, ipv6: str = GATEWAY_6) -> TableEntry:
    """What the router is to the hosts of a customer port."""
    params = (("ipv4", v4(ipv4)), ("ipv6", v6(ipv6)))
    return TableEntry("gateway", (("port", Exact(port)),), "set_gateway", params)


def color(corridor: int, number: int, dscp: int | None = None) -> TableEntry:
    """What becomes of a color: marked with this DSCP, or dropped."""
    match = (("color", Exact(number)), ("corridor", Exact(corridor)))
    if dscp is None:
        return TableEntry("color_policy", match, "drop_colored")
    return TableEntry("color_policy", match, "mark_dscp", (("dscp", dscp),))
