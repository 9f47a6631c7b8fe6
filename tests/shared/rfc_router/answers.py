"""What a node says by itself: echo replies, and why a customer's packet went no further (RFC 4443, RFC 792, RFC 1191).

An error quotes what every receiver needs: the IP header and eight octets behind it.
"""

from __future__ import annotations

from dataclasses import replace

from rfc_router.choices import Choices
from rfc_router.octets import FRAGMENT, ICMP, ICMPV6, IPV4_OCTETS, IPV6_OCTETS, Extension, Ip, Ipv4, Ipv6, checksum
from rfc_router.outcome import Drop
from rfc_router.tables import Found

OWN_HOP_LIMIT = 64
CONTROL = 48 << 2
"""Traffic class of errors: CS6 (RFC 1812 clause 4.3.2.5)."""
QUOTED = 8
ECHO6, ECHO4, REPLY6, REPLY4 = 128, 8, 129, 0
REDIRECT6 = 137
ERRORS4 = {3, 4, 5, 11, 12}
"""Unreachable, source quench, redirect, time exceeded, parameter problem (RFC 1122 clause 3.2.2)."""


def icmp6(source: int, destination: int, message: bytes, hop_limit: int = OWN_HOP_LIMIT, label: int = 0) -> Ipv6:
    """RFC 4443 clause 2.3: the checksum covers a pseudo header; `message` has zeros in its place."""
    ends = source.to_bytes(16, "big") + destination.to_bytes(16, "big")
    pseudo = ends + len(message).to_bytes(4, "big") + ICMPV6.to_bytes(4, "big")
    total = checksum(pseudo + message)
    return Ipv6(0, label, ICMPV6, hop_limit, source, destination, message[:2] + total.to_bytes(2, "big") + message[4:])


def icmp4(source: int, destination: int, message: bytes, head: bytes) -> Ipv4:
    body = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    head = head[:2] + (IPV4_OCTETS + len(body)).to_bytes(2, "big") + head[4:]
    return Ipv4(head, OWN_HOP_LIMIT, ICMP, 0, source, destination, b"", body).sealed()


def echo_reply(packet: Ip, choices: Choices) -> Ip | None:
    """RFC 4443 clause 4.2, RFC 792: the same message of the other type, between the same two the other way."""
    if isinstance(packet, Ipv6):
        protocol, message = packet.upper_layer()
        if protocol != ICMPV6 or len(message) < QUOTED or not _is_echo(message, ECHO6, choices):
            return None
        reply = icmp6(packet.destination, packet.source, bytes([REPLY6, message[1], 0, 0]) + message[4:])
        return replace(reply, traffic_class=packet.traffic_class, flow_label=packet.flow_label)
    message = packet.payload
    if packet.protocol != ICMP or len(message) < QUOTED or not _is_echo(message, ECHO4, choices):
        return None
    answer = icmp4(packet.destination, packet.source, bytes([REPLY4, message[1], 0, 0]) + message[4:], packet.head)
    if choices.writes_no_zero_sum and answer.payload[2:4] == b"\0\0":
        return replace(answer, payload=answer.payload[:2] + b"\xff\xff" + answer.payload[4:])
    return answer


def _is_echo(message: bytes, kind: int, choices: Choices) -> bool:
    return message[0] == kind and (message[1] == 0 or choices.answers_any_code)


def error(packet: Ip, why: Drop, gateway: Found, mtu: int, choices: Choices) -> Ip | None:
    """Time Exceeded or Packet Too Big of the gateway to the packet's source, where the RFCs let it be sent."""
    if isinstance(packet, Ipv6):
        return _error6(packet, why, gateway["ipv6"], mtu, choices)
    return _error4(packet, why, gateway["ipv4"], mtu)


def _error6(packet: Ipv6, why: Drop, gateway: int, mtu: int, choices: Choices) -> Ipv6 | None:
    chain = list(packet.extensions())
    protocol, upper = packet.upper_layer()
    if not gateway or len(upper) < QUOTED or not _may_be_quoted(chain, choices):
        return None
    if protocol == ICMPV6 and (upper[0] < ECHO6 or upper[0] == REDIRECT6):
        return None  # RFC 4443 2.4 (e.1), (e.2)
    start = sum(len(each.octets) for each in chain)
    quote = packet.octets()[: IPV6_OCTETS + start + QUOTED]
    kind, word = (2, mtu) if why is Drop.TOO_BIG else (3, 0)
    message = bytes([kind, 0, 0, 0]) + word.to_bytes(4, "big") + quote
    return replace(icmp6(gateway, packet.source, message), traffic_class=CONTROL)


def _may_be_quoted(chain: list[Extension], choices: Choices) -> bool:
    """An ICMP error may hide in a later fragment, and behind headers that the node does not read (2.4 e.1)."""
    if any(each.is_later_fragment for each in chain):
        return False
    return choices.reads_chains or [each.kind for each in chain] in ([], [FRAGMENT])


def _error4(packet: Ipv4, why: Drop, gateway: int, mtu: int) -> Ipv4 | None:
    """RFC 1122 3.2.2: none about an error or a later fragment, none to a source that is no single host."""
    is_later_fragment = int.from_bytes(packet.head[6:8], "big") & 0x1FFF
    is_error = packet.protocol == ICMP and bool(packet.payload) and packet.payload[0] in ERRORS4
    if not gateway or is_later_fragment or is_error or len(packet.payload) < QUOTED:
        return None
    kind, code, word = (3, 4, mtu) if why is Drop.TOO_BIG else (11, 0, 0)
    message = bytes([kind, code, 0, 0]) + word.to_bytes(4, "big") + packet.octets()[: IPV4_OCTETS + QUOTED]
    head = bytes([0x45, CONTROL, 0, 0, 0, 0, 0x40, 0])  # never fragmented, so without identification (RFC 6864 4.1)
    return icmp4(gateway, packet.source, message, head)
