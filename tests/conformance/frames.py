"""Frames around router 1, built with scapy from the RFCs."""

from __future__ import annotations

from exceptions import differs
from packet_world import A4, A6, CHANNEL, HOST, MAC, NEIGHBOUR, SOURCE, Z4, Z6
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw


def from_host(port: int, packet: Packet, to: str = "") -> bytes:
    return bytes(Ether(src=HOST[port], dst=to or MAC[port]) / packet)


def from_core(packet: Packet, port: int = 1) -> bytes:
    return bytes(Ether(src=NEIGHBOUR, dst=MAC[port]) / packet)


def on_channel(port: int, packet: Packet) -> bytes:
    return bytes(Ether(src=MAC[port], dst=CHANNEL[port]) / packet)


def to_host(target: str, port: int, packet: Packet, entered: int = 1) -> bytes:
    """The source is the router's MAC at the exit, or at the port of entry."""
    source = MAC[entered] if differs(target, "source MAC") else MAC[port]
    return bytes(Ether(src=source, dst=HOST[port]) / packet)


def inner6(hlim: int = 64, size: int = 100, dscp: int = 0, **fields: object) -> Packet:
    """A customer packet of `size` bytes of IP."""
    defaults: dict[str, object] = {"src": A6, "dst": Z6, "fl": 0x12345, "tc": dscp << 2}
    header = IPv6(hlim=hlim, **(defaults | fields))
    return header / UDP(sport=1, dport=2, chksum=1) / Raw(b"x" * (size - 48))


def inner4(ttl: int = 64, size: int = 100, **fields: object) -> Packet:
    defaults: dict[str, object] = {"src": A4, "dst": Z4, "id": 7}
    return IP(ttl=ttl, **(defaults | fields)) / UDP(sport=1, dport=2, chksum=1) / Raw(b"y" * (size - 28))


def srh(inner_header: int, left: int, *in_order: str) -> Packet:
    """An SRH with the segments in the order of travel; on the wire they stand in reverse (RFC 8754 clause 2)."""
    return IPv6ExtHdrSegmentRouting(
        nh=inner_header, segleft=left, lastentry=len(in_order) - 1, addresses=list(reversed(in_order))
    )


def outer(dst: str, hlim: int = 64, **fields: object) -> Packet:
    return IPv6(src=SOURCE, dst=dst, hlim=hlim, **fields)


def tunnelled(target: str, received: bytes, packet: Packet, first: str, *others: str) -> Packet:
    """What H.Encaps.Red makes of a customer's packet (RFC 8986 clause 5.2), with the carriers of its policy.

    The outer flow label is any hash of the flow (RFC 6437), so it is taken from the received frame.
    """
    packet = packet.copy()
    header = _outer_header(target, received, packet, first)
    if not others:
        return header / packet
    inner_header, header.nh = header.nh, 43
    return header / srh(inner_header, len(others), *others) / packet


def _outer_header(target: str, received: bytes, packet: Packet, destination: str) -> Packet:
    """Traffic class and hop limit as the target chooses them, and the customer's hop that it counts.

    `packet` is changed to what it is inside.
    """
    ipv4, label = isinstance(packet, IP), Ether(received)[IPv6].fl
    if differs(target, "outer header"):
        copied = {} if ipv4 else {"tc": packet.tc}
        return outer(destination, nh=4 if ipv4 else 41, hlim=63 if ipv4 else packet.hlim - 1, fl=label, **copied)
    if ipv4:
        packet.ttl -= 1
    else:
        packet.hlim -= 1
    return outer(destination, nh=4 if ipv4 else 41, tc=packet.tos if ipv4 else packet.tc, fl=label)
