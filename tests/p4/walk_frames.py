"""Entries and frames for the oracle's own tests, built with scapy, so that its reading of octets is checked too."""

from __future__ import annotations

from ipaddress import ip_address

from rfc_router import Choices, Outcome, Router
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from controller.core.entries import Entry, Exact, Lpm, MatchValue, TableEntry, Ternary

STRICT = Choices()
MAC, PEER, HOST = "06:00:00:01:00:01", "06:00:00:02:00:01", "0a:00:00:00:00:02"
CORE, SITE = 1, 2
"""Network port and customer port of the one router."""
VRF = 7


def number(text: str) -> int:
    return int(ip_address(text))


def mac(text: str) -> int:
    return int(text.replace(":", ""), 16)


def entry(table: str, match: dict[str, MatchValue], action: str, priority: int = 0, **params: int) -> TableEntry:
    return TableEntry(table, tuple(sorted(match.items())), action, tuple(params.items()), priority)


def sid(address: str, length: int, action: str, **params: int) -> TableEntry:
    return entry("local_sid", {"dst": Lpm(number(address), length)}, action, **params)


def route(prefix: str, next_hop: int, vrf: int = 0) -> TableEntry:
    address, length = prefix.split("/")
    table = "route_v4" if ip_address(address).version == 4 else "route_v6"
    match = {"vrf": Exact(vrf), "dst": Lpm(number(address), int(length))}
    return entry(table, match, "set_next_hop", next_hop=next_hop)


def way_out(number_: int, port: int) -> TableEntry:
    """An adjacency whose MACs tell it apart."""
    macs = {"src_mac": mac(MAC), "dst_mac": 0x02_00_00_00_00_00 + number_}
    return entry("next_hop", {"next_hop": Exact(number_)}, "to_adjacency", port=port, **macs)


def corridor(*carriers: str, mtu: int = 1500, **match: Ternary) -> list[TableEntry]:
    """Everything of VRF 7 rides corridor 5, whose list this is."""
    params = {f"carrier{i}": number(each) for i, each in enumerate(carriers, 1)}
    classifiers = [
        entry(table, {"vrf": Exact(VRF), **match}, "set_policy", 1, policy=3, corridor=5, mtu=mtu)
        for table in ("classifier_v6", "classifier_v4")
    ]
    return [*classifiers, entry("policy", {"policy": Exact(3)}, f"encap_red_{len(carriers)}", next_hop=10, **params)]


BASE: list[Entry] = [
    entry("port_role", {"port": Exact(CORE)}, "network", mac=mac(MAC)),
    entry("port_role", {"port": Exact(SITE)}, "customer", mac=mac(MAC), vrf=VRF),
    entry("tunnel_source", {}, "set_tunnel_source", addr=number("fcbb:bb00:1::1")),
    entry("edge_filter", {"dst": Lpm(number("fcbb:bb00::"), 32)}, "drop_infrastructure"),
    way_out(10, CORE),
    way_out(11, 4),
    entry("next_hop", {"next_hop": Exact(20)}, "to_customer", port=SITE),
    entry("host_v6", {"port": Exact(SITE), "addr": Exact(number("2001:db8:1::2"))}, "set_dst_mac", mac=mac(HOST)),
    entry("host_v4", {"port": Exact(SITE), "addr": Exact(number("10.1.0.2"))}, "set_dst_mac", mac=mac(HOST)),
    route("2001:db8:1::/64", 20, VRF),
    route("10.1.0.0/24", 20, VRF),
    route("fcbb:bb00:2::/48", 10),
    route("fcbb:bb00:3::/48", 11),
]


def router(*entries: TableEntry, choices: Choices = STRICT) -> Router:
    return Router([*BASE, *entries], choices)


def customer6(**fields: object) -> Packet:
    addresses = {"src": "2001:db8:1::2", "dst": "2001:db8:2::2", "fl": 0xABCDE}
    return IPv6(**(addresses | fields)) / UDP(sport=1, dport=2, chksum=1) / Raw(b"payload")


def customer4(**fields: object) -> Packet:
    addresses = {"src": "10.1.0.2", "dst": "10.2.0.2", "id": 7}
    return IP(**(addresses | fields)) / UDP(sport=1, dport=2, chksum=1) / Raw(b"payload")


def for_us(**fields: object) -> Packet:
    """What is inside a tunnel that ends here."""
    return customer6(**({"src": "2001:db8:2::2", "dst": "2001:db8:1::2"} | fields))


def tunnel(destination: str, **fields: object) -> Packet:
    return IPv6(**({"src": "fcbb:bb00:9::1", "dst": destination} | fields))


def srh(next_header: int, left: int, *listed: str, last: int | None = None) -> Packet:
    """With the segments as they stand on the wire: the last of the way first."""
    entries = len(listed) - 1 if last is None else last
    return IPv6ExtHdrSegmentRouting(nh=next_header, segleft=left, lastentry=entries, addresses=list(listed))


def arrives(at: Router, port: int, packet: Packet) -> Outcome:
    return at.receive(port, bytes(Ether(src=PEER, dst=MAC) / packet))


def out(number_: int, packet: Packet) -> bytes:
    """The frame on the adjacency of that number."""
    return bytes(Ether(src=MAC, dst=f"02:00:00:00:00:{number_:02x}") / packet)


def delivered(packet: Packet) -> bytes:
    return bytes(Ether(src=MAC, dst=HOST) / packet)
