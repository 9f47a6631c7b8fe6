"""What the oracle lets a router say by itself, against the same messages from scapy."""

from __future__ import annotations

import pytest
from rfc_router import BMV2, LINUX, Choices, Drop, Outcome
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from walk_frames import (
    CORE,
    MAC,
    PEER,
    SITE,
    STRICT,
    arrives,
    corridor,
    customer4,
    customer6,
    entry,
    number,
    out,
    router,
)

from controller.core.entries import Exact

GATEWAY6, GATEWAY4, NODE = "2001:db8:1::1", "10.1.0.1", "fcbb:bb00:1::1"
HOST6, HOST4 = "2001:db8:1::2", "10.1.0.2"
GATEWAY = entry("gateway", {"port": Exact(SITE)}, "set_gateway", ipv4=number(GATEWAY4), ipv6=number(GATEWAY6))
ADDRESS = entry("node_address", {"dst": Exact(number(NODE))}, "to_node")
LIST = corridor("fcbb:bb00:2::", mtu=60)


def back(packet: Packet) -> bytes:
    return bytes(Ether(src=MAC, dst=PEER) / packet)


def asked(packet: Packet, choices: Choices = STRICT) -> Outcome:
    return arrives(router(GATEWAY, *LIST, choices=choices), SITE, packet)


def test_a_gateway_answers_a_ping() -> None:
    echo6 = IPv6(src=HOST6, dst=GATEWAY6, hlim=9) / ICMPv6EchoRequest(id=3, seq=4, data=b"odd")
    (sent,) = asked(echo6)
    assert sent.octets == back(IPv6(src=GATEWAY6, dst=HOST6) / ICMPv6EchoReply(id=3, seq=4, data=b"odd"))
    echo4 = IP(src=HOST4, dst=GATEWAY4, id=7, ttl=9) / ICMP(type=8, id=3, seq=4) / b"odd"
    (sent,) = asked(echo4)
    assert sent.octets == back(IP(src=GATEWAY4, dst=HOST4, id=7) / ICMP(type=0, id=3, seq=4) / b"odd")
    for other in (IPv6(src=HOST6, dst=GATEWAY6) / UDP(), IP(src=HOST4, dst=GATEWAY4) / UDP()):
        assert asked(other).dropped is Drop.TO_NODE


def test_a_ping_of_nothing_but_zeros_has_a_right_sum() -> None:
    """RFC 1624 clause 3: zero has two writings, and over zeros only one of them is right."""
    (sent,) = asked(IP(src=HOST4, dst=GATEWAY4) / ICMP(type=8), BMV2)
    assert Ether(sent.octets)[ICMP].chksum == 0xFFFF


def test_a_node_answers_by_its_routes() -> None:
    echo = IPv6(src="fcbb:bb00:3::1", dst=NODE) / ICMPv6EchoRequest(data=b"12345678")
    (sent,) = arrives(router(ADDRESS), CORE, echo)
    reply = out(11, IPv6(src=NODE, dst="fcbb:bb00:3::1", fl=0xFFFFF) / ICMPv6EchoReply(data=b"12345678"))
    assert sent.is_like(4, reply)
    echo[ICMPv6EchoRequest].code = 1
    assert arrives(router(ADDRESS), CORE, echo).dropped is Drop.TO_NODE
    assert arrives(router(ADDRESS, choices=LINUX), CORE, echo).sent


def test_who_sends_too_much_learns_what_passes() -> None:
    big6, big4 = customer6() / (b"z" * 60), customer4() / (b"z" * 60)
    (sent,) = asked(big6)
    quoted = bytes(big6)[: 40 + 8]
    expected = IPv6(src=GATEWAY6, dst=HOST6, tc=48 << 2) / ICMPv6PacketTooBig(mtu=60) / Raw(quoted)
    assert (sent.port, sent.octets) == (SITE, back(expected))
    (sent,) = asked(big4)
    header = IP(src=GATEWAY4, dst=HOST4, tos=48 << 2, id=0, flags="DF")
    expected = header / ICMP(type=3, code=4, nexthopmtu=60) / Raw(bytes(big4)[: 20 + 8])
    assert (sent.port, sent.octets) == (SITE, back(expected))
    assert asked(big4).counted == (("oversize_counter", 5),)


def test_whose_hop_limit_ends_is_told() -> None:
    """Also before it is classified."""
    last6, last4 = customer6(hlim=1), customer4(ttl=1)
    (sent,) = asked(last6)
    expected = IPv6(src=GATEWAY6, dst=HOST6, tc=48 << 2) / ICMPv6TimeExceeded() / Raw(bytes(last6)[:48])
    assert sent.octets == back(expected)
    (sent,) = asked(last4)
    header = IP(src=GATEWAY4, dst=HOST4, tos=48 << 2, id=0, flags="DF")
    assert sent.octets == back(header / ICMP(type=11, code=0) / Raw(bytes(last4)[:28]))
    assert asked(last4).dropped is Drop.HOP_LIMIT


@pytest.mark.parametrize(
    "packet",
    [
        IPv6(src=HOST6, dst="2001:db8:2::2", hlim=1) / ICMPv6DestUnreach() / Raw(b"x" * 48),
        IPv6(src=HOST6, dst="2001:db8:2::2", hlim=1) / IPv6ExtHdrFragment(nh=17, offset=4) / Raw(b"x" * 48),
        IPv6(src=HOST6, dst="2001:db8:2::2", hlim=1, nh=17) / Raw(b"short"),
        IP(src=HOST4, dst="10.2.0.2", ttl=1) / ICMP(type=11) / Raw(b"x" * 28),
        IP(src=HOST4, dst="10.2.0.2", ttl=1, frag=3) / UDP() / Raw(b"x" * 28),
        IP(src="169.254.0.9", dst="10.2.0.2", ttl=1) / UDP() / Raw(b"x" * 28),
        IP(src=HOST4, dst="224.0.0.9", ttl=1) / UDP() / Raw(b"x" * 28),
    ],
)
def test_of_whom_nothing_is_told(packet: Packet) -> None:
    """RFC 4443 2.4 (e), RFC 1122 3.2.2: errors about errors would multiply."""
    outcome = asked(packet)
    assert outcome.dropped is not None
    assert not outcome.sent


def test_what_a_parser_does_not_read_is_not_quoted() -> None:
    packet = IPv6(src=HOST6, dst="2001:db8:2::2", hlim=1) / IPv6ExtHdrHopByHop() / UDP() / Raw(b"x" * 48)
    assert asked(packet).sent
    assert not asked(packet, BMV2).sent


def test_without_a_gateway_all_is_silent() -> None:
    for packet in (customer6(hlim=1), customer4(ttl=1), customer6() / (b"z" * 60)):
        assert not arrives(router(*LIST), SITE, packet).sent
