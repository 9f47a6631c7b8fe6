"""Frames drawn at random for router 1, whole and broken, and what its oracle is told of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from hypothesis import strategies as st
from packet_world import A4, A6, GATEWAY_4, GATEWAY_6, HOST, MAC, NEIGHBOUR, SOURCE, Z4, Z6, mac, v4, v6
from rfc_router.answers import icmp4, icmp6
from rfc_router.octets import (
    AUTHENTICATION,
    BETWEEN_HOSTS,
    DESTINATION_OPTIONS,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    ROUTING,
    UDP,
    Ipv4,
    Ipv6,
    Srh,
)

Arrival: TypeAlias = tuple[int, bytes]
"""Port and frame."""

HOPS = st.sampled_from((64, 64, 64, 64, 64, 255, 255, 2, 2, 1, 0))
CLASSES = st.sampled_from((0, 46 << 2, 12 << 2 | 1, 2, 3))
LABELS = st.sampled_from((0, 0x12345, 0xFFFFF))
PAD = b"\x01\x04\0\0\0\0"
"""The options of an extension header of eight octets."""


@dataclass(frozen=True)
class Limits:
    """What may be drawn for a target: what its kernel does with the rest is not the contract's."""

    tlvs: bool = True
    bad_inner: bool = True


@st.composite
def udp(draw: st.DrawFn) -> bytes:
    """A datagram that differs from others, so that what comes out can be told from what came in with it."""
    size = draw(st.sampled_from((4, 9, 30, 500, 1300)))
    head = b"".join(each.to_bytes(2, "big") for each in (1, 2, size + 8, 1))
    return head + draw(st.binary(min_size=4, max_size=4)) + b"u" * (size - 4)


def ipv6(source: int, destination: int, payload: bytes, next_header: int = UDP, **fields: int) -> Ipv6:
    header = Ipv6(0, 0x12345, next_header, 64, source, destination, payload)
    return replace(header, **fields)  # type: ignore[arg-type]


def ipv4(source: int, destination: int, payload: bytes, ttl: int = 64, tos: int = 0, options: bytes = b"") -> Ipv4:
    size = 20 + len(options)
    head = bytes([0x40 | size // 4, tos]) + (size + len(payload)).to_bytes(2, "big") + b"\0\x07\0\0"
    return Ipv4(head, ttl, UDP, 0, source, destination, options, payload).sealed()


@st.composite
def customers6(draw: st.DrawFn, towards_us: bool = False) -> bytes:
    source, destination = (Z6, A6) if towards_us else (A6, Z6)
    hosts = [*[destination] * 6, "2001:db8:ffff::1", "2001:db8:3::1"]
    if not towards_us:
        hosts += [A6, A6, A6, "ff0e::1", "fe80::1", "::1", "fcbb:bb00:1:e108::", "fcbb:bb00:7::"]
        source = draw(st.sampled_from((*[source] * 9, "fe80::9", "ff02::1", "::1", "::")))
    fields = {"hop_limit": draw(HOPS), "traffic_class": draw(CLASSES), "flow_label": draw(LABELS)}
    return ipv6(v6(source), v6(draw(st.sampled_from(hosts))), draw(udp()), **fields).octets()


@st.composite
def customers4(draw: st.DrawFn, towards_us: bool = False) -> bytes:
    source, destination = (Z4, A4) if towards_us else (A4, Z4)
    hosts = [*[destination] * 6, "10.99.0.1", "10.3.0.1"]
    if not towards_us:
        hosts += [A4, "224.0.0.5", "255.255.255.255", "127.0.0.1", "0.0.0.0", "169.254.9.9"]
        source = draw(st.sampled_from((*[source] * 9, "169.254.3.4", "127.0.0.1")))
    options = draw(st.sampled_from((b"", b"", b"", b"\x01\x01\x01\0"))) if not towards_us else b""
    packet = ipv4(v4(source), v4(draw(st.sampled_from(hosts))), draw(udp()), draw(HOPS), draw(CLASSES), options)
    if draw(st.integers(0, 7)) == 0 and not towards_us:
        packet = replace(packet, header_checksum=packet.header_checksum ^ 0x101)
    return packet.octets()


@st.composite
def from_customers(draw: st.DrawFn) -> Arrival:
    """What a host may send: honest, forged, or cut off."""
    port = draw(st.sampled_from((2, 2, 2, 3)))
    family = draw(st.sampled_from((IPV4, IPV6, IPV6)))
    packet = draw(customers4() if family == IPV4 else customers6())
    if family == IPV6:
        packet = draw(st.sampled_from((packet, packet, *_forged(packet))))
    packet = _spoiled(draw, packet)
    packet += draw(st.sampled_from((b"", b"", b"", b"\0" * 18, b"z" * 700)))
    to = draw(st.sampled_from((MAC[port],) * 7 + (MAC[1],)))
    return port, frame(to, HOST[port], family, packet)


def _forged(packet: bytes) -> list[bytes]:
    """With extension headers that may, and may not, enter the SR domain."""
    whole = Ipv6.read(packet)
    routing = Srh(UDP, 1, 0, 0, 0, (v6("fcbb:bb00:1::"),)).octets()
    other = bytes([UDP, 2, 0, 1]) + bytes(20)
    whole_fragment, signature = bytes(6), bytes(10)
    chains = [
        (ROUTING, routing),
        (ROUTING, other),
        (HOP_BY_HOP, bytes([UDP, 0]) + PAD),
        (HOP_BY_HOP, bytes([ROUTING, 0]) + PAD + routing),
        (DESTINATION_OPTIONS, bytes([UDP, 0]) + PAD),
        (HOP_BY_HOP, bytes([DESTINATION_OPTIONS, 0]) + PAD + bytes([ROUTING, 0]) + PAD + routing),
        (HOP_BY_HOP, bytes([FRAGMENT, 0]) + PAD + bytes([ROUTING, 0]) + whole_fragment + routing),
        (HOP_BY_HOP, bytes([AUTHENTICATION, 0]) + PAD + bytes([ROUTING, 1]) + signature + routing),
        (FRAGMENT, bytes([AUTHENTICATION, 0]) + whole_fragment + bytes([ROUTING, 1]) + signature + routing),
        (AUTHENTICATION, bytes([AUTHENTICATION, 1]) + signature + bytes([ROUTING, 1]) + signature + routing),
        (AUTHENTICATION, bytes([UDP, 1]) + signature),
        *((kind, bytes([ROUTING, 0]) + PAD + routing) for kind in sorted(BETWEEN_HOSTS)),
    ]
    return [replace(whole, next_header=kind, payload=head + whole.payload).octets() for kind, head in chains]


# ---- what a router answers


@st.composite
def messages(draw: st.DrawFn, family: int) -> tuple[int, bytes]:
    """Protocol and octets of what a router may have to answer or to quote, or may not."""
    types = (128, 129, 1, 3, 137, 200) if family == IPV6 else (8, 0, 3, 11, 13, 5)
    body = bytes([draw(st.sampled_from(types)), draw(st.sampled_from((0, 0, 0, 1))), 0, 0]) + draw(
        st.binary(max_size=40)
    )
    echo = bytes([types[0], 0, 0, 0]) + draw(st.binary(min_size=4, max_size=40))
    icmp = ICMPV6 if family == IPV6 else ICMP
    return draw(
        st.sampled_from(((icmp, echo), (icmp, echo), (icmp, body), (UDP, draw(udp())), (UDP, b"short"), (200, echo)))
    )


@st.composite
def questions(draw: st.DrawFn, answered: bool = True) -> Arrival:
    """To the gateway of port 2 where one answers, or through it with the last hop or a size that is too much."""
    family = draw(st.sampled_from((IPV6, IPV4)))
    protocol, message = draw(messages(family))
    hops, more = draw(st.sampled_from((64, 1, 1, 0))), draw(st.sampled_from((b"", b"", b"z" * 1480)))
    if family == IPV6:
        to = draw(st.sampled_from((Z6, Z6, "2001:db8:ffff::1", *[GATEWAY_6] * 2 * answered)))
        packet = _asked6(draw, v6(to), protocol, message + (b"" if to == GATEWAY_6 else more), hops)
    else:
        to = draw(st.sampled_from((Z4, Z4, "10.99.0.1", *[GATEWAY_4] * 2 * answered)))
        packet = _asked4(draw, v4(to), protocol, message + (b"" if to == GATEWAY_4 else more), hops)
    packet += draw(st.sampled_from((b"", b"", b"z" * 9)))
    return 2, frame(MAC[2], HOST[2], family, packet)


def _asked6(draw: st.DrawFn, destination: int, protocol: int, message: bytes, hops: int) -> bytes:
    if protocol == ICMPV6 and len(message) >= 8:
        sealed = icmp6(v6(A6), destination, message[:2] + b"\0\0" + message[4:])
        message = sealed.payload
    offset = draw(st.sampled_from((None, None, None, 0, 8))) if destination != v6(GATEWAY_6) else None
    if offset is not None:
        protocol, message = FRAGMENT, bytes([protocol, 0]) + (offset | 1).to_bytes(2, "big") + b"\0\0\0\1" + message
    return ipv6(v6(A6), destination, message, protocol, hop_limit=hops).octets()


def _asked4(draw: st.DrawFn, destination: int, protocol: int, message: bytes, hops: int) -> bytes:
    whole = ipv4(v4(A4), destination, message, hops)
    if protocol == ICMP and len(message) >= 8:
        whole = replace(
            whole, payload=icmp4(v4(A4), destination, message[:2] + b"\0\0" + message[4:], whole.head).payload
        )
    offset = draw(st.sampled_from((0, 0, 0, 1, 0x4000))) if destination != v4(GATEWAY_4) else 0
    head = whole.head[:6] + offset.to_bytes(2, "big")
    return replace(whole, protocol=protocol, head=head).sealed().octets()


@st.composite
def to_node(draw: st.DrawFn) -> Arrival:
    """To the router's own address, from somewhere that it has a route to."""
    protocol, message = draw(messages(IPV6))
    source = v6(draw(st.sampled_from(("fcbb:bb00:2::1", "fcbb:bb00:3::1", "fcbb:bb00:77::1"))))
    if protocol == ICMPV6 and len(message) >= 8:
        message = icmp6(source, v6(SOURCE), message[:2] + b"\0\0" + message[4:]).payload
    packet = ipv6(source, v6(SOURCE), message, protocol, hop_limit=draw(HOPS), flow_label=0)
    port = draw(st.sampled_from((1, 4)))
    return port, frame(MAC[port], NEIGHBOUR, IPV6, packet.octets())


# ---- from the core


@st.composite
def from_core(draw: st.DrawFn, destinations: tuple[int, ...], limits: Limits) -> Arrival:
    """A tunnelled packet: to a segment, in transit, or to nobody; with a list that holds together, or does not."""
    inner_header, inner = draw(
        st.one_of(_whole_inner(), _broken_inner())
        if limits.bad_inner and draw(st.integers(0, 3)) == 0
        else _whole_inner()
    )
    listed = tuple(draw(st.lists(st.sampled_from(destinations), max_size=4)))
    next_header, payload = inner_header, inner
    if listed:
        next_header, payload = ROUTING, draw(_lists(inner_header, listed, limits)) + inner
    if draw(st.integers(0, 9)) == 0:
        kind = draw(st.sampled_from((HOP_BY_HOP, DESTINATION_OPTIONS)))
        next_header, payload = kind, bytes([next_header, 0]) + PAD + payload
    fields = {"hop_limit": draw(HOPS), "traffic_class": draw(CLASSES), "flow_label": draw(LABELS)}
    packet = ipv6(v6(SOURCE) ^ 0x10 << 80, draw(st.sampled_from(destinations)), payload, next_header, **fields)
    octets = _spoiled(draw, packet.octets())
    if draw(st.integers(0, 9)) == 0:
        octets += b"\0" * draw(st.integers(1, 20))
    port = draw(st.sampled_from((1, 1, 4)))
    return port, frame(MAC[port], NEIGHBOUR, IPV6, octets)


@st.composite
def _whole_inner(draw: st.DrawFn) -> tuple[int, bytes]:
    return draw(
        st.one_of(
            st.tuples(st.just(IPV6), customers6(towards_us=True)),
            st.tuples(st.just(IPV4), customers4(towards_us=True)),
            st.tuples(st.just(UDP), udp()),
        )
    )


@st.composite
def _broken_inner(draw: st.DrawFn) -> tuple[int, bytes]:
    """Cut off, with a checksum that is wrong, with options, of another version, or of another family than it says."""
    six, four = draw(customers6(towards_us=True)), draw(customers4(towards_us=True))
    broken4 = replace(Ipv4.read(four), header_checksum=1).octets()
    optional = ipv4(v4(Z4), v4(A4), b"optional", options=b"\x01\x01\x01\0").octets()
    other_version = bytes([0x50 | six[0] & 0xF]) + six[1:]
    pairs = [
        (IPV4, broken4),
        (IPV4, optional),
        (IPV4, optional),
        (IPV6, other_version),
        (IPV4, six),
        (IPV6, four),
        (IPV6, six[:30]),
    ]
    return draw(st.sampled_from(pairs))


@st.composite
def _lists(draw: st.DrawFn, next_header: int, listed: tuple[int, ...], limits: Limits) -> bytes:
    """An SRH: Segments Left and Last Entry that hold together more often than not, sometimes TLVs or another type."""
    last = draw(st.sampled_from((len(listed) - 1,) * 6 + (0, len(listed), 255)))
    left = draw(st.sampled_from((*range(last + 2), *range(last + 2), last + 2)) if last < 9 else st.just(1))
    if not limits.tlvs:
        last = max(last, len(listed) - 1)
    rest = b"\x04\x06" + bytes(6) if limits.tlvs and draw(st.integers(0, 7)) == 0 else b""
    header = Srh(next_header, left, last, 0, draw(st.sampled_from((0, 5))), listed, rest).octets()
    if draw(st.integers(0, 19)) == 0:
        header = header[:2] + b"\x02" + header[3:]
    return header


def _spoiled(draw: st.DrawFn, octets: bytes) -> bytes:
    """Now and then of another version, or cut off."""
    kind = draw(st.integers(0, 29))
    if kind == 0:
        return bytes([octets[0] ^ 0x10]) + octets[1:]
    if kind == 1:
        return octets[: draw(st.integers(0, len(octets) - 1))]
    return octets


def frame(to: str, source: str, family: int, packet: bytes) -> bytes:
    kind = 0x86DD if family == IPV6 else 0x0800
    return mac(to).to_bytes(6, "big") + mac(source).to_bytes(6, "big") + kind.to_bytes(2, "big") + packet
