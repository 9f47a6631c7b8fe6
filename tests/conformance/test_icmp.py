"""What a router owes its neighbours: address resolution, echo, and errors about what went no further."""

from __future__ import annotations

import time

import pytest
from crossing import crosses, is_dropped
from exceptions import differs
from frames import from_host, inner4, inner6
from icmp_messages import (
    FRAGMENTATION_NEEDED,
    TIME_EXCEEDED,
    TIME_EXCEEDED_V4,
    TOO_BIG,
    UNREACHABLE_V4,
    addresses,
    checksum_holds,
    icmp_v4,
    icmp_v6,
)
from packet_world import (
    A4,
    A6,
    CORRIDOR,
    GATEWAY_4,
    GATEWAY_6,
    HOST,
    MAC,
    Z4,
    Z6,
    classifier,
    route,
    v4,
    v6,
    v6_prefix,
)
from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from targets import Target

SOLICITED_NODE = "ff02::1:ff00:1"
SOLICITED_NODE_MAC = "33:33:ff:00:00:01"
BROADCAST = "ff:ff:ff:ff:ff:ff"
MTU = 1500
pytestmark = pytest.mark.covers("gateway.set_gateway")


@pytest.fixture(scope="module")
def gateway_router(programmed: Target) -> Target:
    programmed.become_gateway(2, GATEWAY_4, GATEWAY_6)
    return programmed


@pytest.fixture
def target(gateway_router: Target) -> Target:
    gateway_router.drain()
    return gateway_router


# ---- address resolution (RFC 826, RFC 4861)


@pytest.mark.parametrize("to", [BROADCAST, MAC[2]], ids=["broadcast", "unicast"])
@pytest.mark.parametrize("padding", [0, 18], ids=["bare", "padded"])
def test_arp_for_the_gateway_is_answered(target: Target, to: str, padding: int) -> None:
    question = ARP(op="who-has", hwsrc=HOST[2], psrc=A4, pdst=GATEWAY_4)
    port, frame = crosses(target, 2, from_host(2, question, to=to) + b"\0" * padding)
    answer = ARP(op="is-at", hwsrc=MAC[2], psrc=GATEWAY_4, hwdst=HOST[2], pdst=A4)
    assert (port, frame[:42]) == (2, bytes(Ether(src=MAC[2], dst=HOST[2]) / answer))


def test_arp_for_others_is_not(target: Target) -> None:
    is_dropped(target, 2, from_host(2, ARP(op="who-has", hwsrc=HOST[2], psrc=A4, pdst="10.1.0.9"), to=BROADCAST))


def solicitation(source: str, destination: str, asked: str = GATEWAY_6) -> Packet:
    message = IPv6(src=source, dst=destination, hlim=255) / ICMPv6ND_NS(tgt=asked)
    return message if source == "::" else message / ICMPv6NDOptSrcLLAddr(lladdr=HOST[2])


def advertisement(destination: str, solicited: int, link_address: bool = True) -> bytes:
    """RFC 4861 clause 7.2.4: what has no link address overrides none."""
    flags = {"R": 1, "S": solicited, "O": int(link_address)}
    answer = IPv6(src=GATEWAY_6, dst=destination, hlim=255) / ICMPv6ND_NA(tgt=GATEWAY_6, **flags)
    return bytes(answer / ICMPv6NDOptDstLLAddr(lladdr=MAC[2]) if link_address else answer)


@pytest.mark.parametrize(
    ("to", "destination"), [(SOLICITED_NODE_MAC, SOLICITED_NODE), (MAC[2], GATEWAY_6)], ids=["group", "unicast"]
)
def test_a_neighbour_finds_the_gateway(target: Target, to: str, destination: str) -> None:
    port, frame = crosses(target, 2, from_host(2, solicitation(A6, destination), to=to))
    assert (port, frame[:14]) == (2, bytes(Ether(src=MAC[2], dst=HOST[2], type=0x86DD)))
    link_address = to != MAC[2] or not differs(target.name, "unicast solicitation")
    assert frame[14:] == advertisement(A6, solicited=1, link_address=link_address)


@pytest.mark.parametrize("padding", [b"\0" * 6, b"z" * 6], ids=["zeros", "anything"])
def test_a_solicitation_in_a_longer_frame(target: Target, padding: bytes) -> None:
    """Which no link asks for: it is longer than the least frame. What is behind it is no part of it."""
    frame = from_host(2, solicitation(A6, SOLICITED_NODE), to=SOLICITED_NODE_MAC) + padding
    if any(padding) and differs(target.name, "padded solicitation"):
        is_dropped(target, 2, frame)
        return
    port, answer = crosses(target, 2, frame)
    assert (port, answer[14:]) == (2, advertisement(A6, solicited=1))


def test_a_host_without_an_address_hears_whose_it_is(target: Target) -> None:
    """Duplicate address detection (RFC 4862 clause 5.4.3): the answer goes to all nodes."""
    target.send(2, from_host(2, solicitation("::", SOLICITED_NODE), to=SOLICITED_NODE_MAC))
    heard = [frame[14:] for port, frame in target.receive(1, own=True) if port == 2]
    assert heard == [advertisement("ff02::1", solicited=0)]


def test_neighbour_discovery_from_afar_is_not_believed(target: Target) -> None:
    """Hop limit 255 or nothing (RFC 4861 clause 7.1.1); nobody else is answered for."""
    for wrong in ({"hlim": 254}, {}):
        asked = GATEWAY_6 if wrong else "2001:db8:1::9"
        packet = solicitation(A6, SOLICITED_NODE, asked)
        packet.hlim = wrong.get("hlim", 255)
        is_dropped(target, 2, from_host(2, packet, to=SOLICITED_NODE_MAC))


# ---- echo (RFC 792, RFC 4443 clause 4)


@pytest.mark.parametrize("size", [0, 1, 56, 1400])
def test_the_gateway_answers_pings(target: Target, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    port, frame = crosses(
        target, 2, from_host(2, IPv6(src=A6, dst=GATEWAY_6) / ICMPv6EchoRequest(id=9, seq=7, data=data))
    )
    label = Ether(frame)[IPv6].fl
    reply = IPv6(src=GATEWAY_6, dst=A6, hlim=64, fl=label) / ICMPv6EchoReply(id=9, seq=7, data=data)
    assert (port, frame) == (2, bytes(Ether(src=MAC[2], dst=HOST[2]) / reply))
    assert checksum_holds(frame[14:])


def test_what_follows_a_ping_does_not_come_back(target: Target) -> None:
    for ping in (IPv6(src=A6, dst=GATEWAY_6) / ICMPv6EchoRequest(data=b"x"), IP(src=A4, dst=GATEWAY_4) / ICMP() / b"x"):
        port, frame = crosses(target, 2, from_host(2, ping) + b"z" * 20)
        assert (port, len(frame)) == (2, 14 + len(ping))
        assert checksum_holds(frame[14:])


@pytest.mark.parametrize("size", [0, 1, 56, 1400])
def test_the_gateway_answers_ipv4_pings(target: Target, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    port, frame = crosses(target, 2, from_host(2, IP(src=A4, dst=GATEWAY_4, id=3) / ICMP(id=9, seq=7) / data))
    chosen = Ether(frame)[IP]
    reply = IP(src=GATEWAY_4, dst=A4, ttl=64, id=chosen.id, flags=chosen.flags) / ICMP(type=0, id=9, seq=7) / data
    assert (port, frame) == (2, bytes(Ether(src=MAC[2], dst=HOST[2]) / reply))
    assert checksum_holds(frame[14:])


def test_a_corridor_does_not_come_between_a_host_and_its_gateway(target: Target) -> None:
    """Nor carry the answer away, whatever its classifier says."""
    ping = IPv6(src=A6, dst=GATEWAY_6) / ICMPv6EchoRequest(id=9, seq=8)
    with target.holding(classifier(1, CORRIDOR, 60, dst=v6_prefix(f"{GATEWAY_6}/128"))):
        port, frame = crosses(target, 2, from_host(2, ping))
    assert port == 2
    assert bytes(Ether(frame)[ICMPv6EchoReply])[4:] == bytes(ping[ICMPv6EchoRequest])[4:]


# ---- errors


def error_about(target: Target, packet: Packet, quoting: Packet | None = None) -> tuple[int, int, int]:
    """Type, code and the next 32 bits of the error that the sender gets; what it quotes is checked."""
    original = bytes(packet if quoting is None else quoting)
    port, frame = crosses(target, 2, from_host(2, packet))
    assert (port, frame[:12]) == (2, bytes(Ether(src=MAC[2], dst=HOST[2]))[:12])
    ipv4 = isinstance(packet, IP)
    kind, code, word, quoted = (icmp_v4 if ipv4 else icmp_v6)(frame[14:])
    assert addresses(frame[14:]) == ((GATEWAY_4, A4) if ipv4 else (GATEWAY_6, A6))
    assert frame[14 + 8 if ipv4 else 14 + 7] == 64
    # RFC 792: the header and 64 bits. RFC 4443 asks for as much as fits; BMv2 can sum no more than the same.
    least = 28 if ipv4 else 48
    assert len(quoted) >= least
    assert quoted == original[: len(quoted)]
    return kind, code, word


UPPER = {
    "udp": lambda: inner6(hlim=1),
    "ping": lambda: IPv6(src=A6, dst=Z6, hlim=1) / ICMPv6EchoRequest(data=b"x" * 40),
    "tunnel": lambda: IPv6(src=A6, dst=Z6, hlim=1) / inner6(),
    "plain route": lambda: inner6(src=A6, dst="2001:db8:1::3", hlim=1),
}


@pytest.mark.parametrize("name", UPPER)
def test_time_exceeded(target: Target, name: str) -> None:
    """RFC 4443 clause 3.3, also where the packet would have entered a corridor."""
    assert error_about(target, UPPER[name]()) == (TIME_EXCEEDED, 0, 0)


@pytest.mark.parametrize(
    "packet", [inner4(ttl=1), IP(src=A4, dst=Z4, ttl=1) / ICMP() / (b"x" * 40)], ids=["udp", "ping"]
)
def test_time_exceeded_ipv4(target: Target, packet: Packet) -> None:
    assert error_about(target, packet) == (TIME_EXCEEDED_V4, 0, 0)


def test_packet_too_big(target: Target) -> None:
    """RFC 4443 clause 3.2; what just fits goes through."""
    assert crosses(target, 2, from_host(2, inner6(size=MTU)))[0] == 1
    assert error_about(target, inner6(size=MTU + 1)) == (TOO_BIG, 0, MTU)


def test_errors_are_the_corridors_also_before_a_plain_route(target: Target) -> None:
    """By which the packet would go, were it not of the corridor; and back they go by a route of the VRF as ever."""
    ways = route("route_v6", 7, v6("2001:db8:2::"), 64, 11), route("route_v4", 7, v4("10.2.0.0"), 16, 11)
    with target.holding(*ways):
        assert error_about(target, inner6(size=MTU + 1)) == (TOO_BIG, 0, MTU)
        assert error_about(target, inner6(hlim=1)) == (TIME_EXCEEDED, 0, 0)
        assert error_about(target, inner4(size=MTU + 1, flags="DF")) == (UNREACHABLE_V4, FRAGMENTATION_NEEDED, MTU)
        assert error_about(target, inner4(ttl=1)) == (TIME_EXCEEDED_V4, 0, 0)


def test_fragmentation_needed(target: Target) -> None:
    """RFC 1191 clause 4, whether the sender forbids fragments or not."""
    assert crosses(target, 2, from_host(2, inner4(size=MTU)))[0] == 1
    for flags in ("", "DF"):
        quoted_flags = "DF" if differs(target.name, "quoted DF") else flags
        large, quoting = (inner4(size=MTU + 1, flags=chosen) for chosen in (flags, quoted_flags))
        assert error_about(target, large, quoting) == (UNREACHABLE_V4, FRAGMENTATION_NEEDED, MTU)


def test_no_error_about_an_error(target: Target) -> None:
    """RFC 4443 clause 2.4 (e), RFC 1122 clause 3.2.2."""
    is_dropped(target, 2, from_host(2, IPv6(src=A6, dst=Z6, hlim=1) / ICMPv6TimeExceeded() / inner6()))
    quoted = IPerror(src=Z4, dst=A4) / UDPerror(sport=1, dport=2)
    is_dropped(target, 2, from_host(2, IP(src=A4, dst=Z4, ttl=1) / ICMP(type=11) / quoted))


def test_no_error_to_nobody(target: Target) -> None:
    is_dropped(target, 2, from_host(2, inner6(src="ff02::5", hlim=1)))
    is_dropped(target, 2, from_host(2, IP(src="224.0.0.9", dst=Z4, ttl=1) / UDP()))


def test_errors_are_limited(target: Target) -> None:
    """RFC 4443 clause 2.4 (f). The last test: from here on the target is short of words."""
    target.limit_own_messages(2)
    for _ in range(50):
        target.send(2, from_host(2, inner6(hlim=1)))
        time.sleep(0.02)
    heard = len(target.receive(50, seconds=0.2))
    assert 1 <= heard <= 12
