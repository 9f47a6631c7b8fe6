"""ICMP as the RFCs write it, octet by octet: an oracle beside scapy, with a checksum of its own."""

from __future__ import annotations

import struct
from ipaddress import ip_address

UNREACHABLE, TOO_BIG, TIME_EXCEEDED = 1, 2, 3
"""ICMPv6 types (RFC 4443)."""
UNREACHABLE_V4, TIME_EXCEEDED_V4 = 3, 11
"""ICMP types (RFC 792)."""
FRAGMENTATION_NEEDED = 4
"""Code of type 3 (RFC 1191)."""


def internet_checksum(data: bytes) -> int:
    """RFC 1071: the ones' complement of the ones' complement sum; 0 over data that contains its own checksum."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def checksum_holds(packet: bytes) -> bool:
    """Whether an IP packet's ICMP checksum is right: RFC 792, for IPv6 with the pseudo header (RFC 8200 clause 8.1)."""
    if packet[0] >> 4 == 4:
        size = (packet[0] & 15) * 4
        return internet_checksum(packet[:size]) == 0 and internet_checksum(packet[size:]) == 0
    message = packet[40:]
    return internet_checksum(packet[8:40] + struct.pack("!IHBB", len(message), 0, 0, 58) + message) == 0


def icmp_v6(packet: bytes) -> tuple[int, int, int, bytes]:
    """Type, code, the 32 bits behind the checksum, and the rest of an ICMPv6 packet without extension headers."""
    assert packet[6] == 58, "no ICMPv6"
    assert struct.unpack_from("!H", packet, 4)[0] == len(packet) - 40, "payload length"
    assert checksum_holds(packet), "checksum"
    kind, code, _, word = struct.unpack_from("!BBHI", packet, 40)
    return kind, code, word, packet[48:]


def icmp_v4(packet: bytes) -> tuple[int, int, int, bytes]:
    """The same of an ICMP packet without IP options."""
    assert packet[0] == 0x45, "IP options"
    assert packet[9] == 1, "no ICMP"
    assert struct.unpack_from("!H", packet, 2)[0] == len(packet), "total length"
    assert checksum_holds(packet), "checksum"
    kind, code, _, word = struct.unpack_from("!BBHI", packet, 20)
    return kind, code, word, packet[28:]


def addresses(packet: bytes) -> tuple[str, str]:
    """Source and destination."""
    first, size = (12, 4) if packet[0] >> 4 == 4 else (8, 16)
    source, destination = packet[first : first + size], packet[first + size : first + 2 * size]
    return str(ip_address(source)), str(ip_address(destination))
