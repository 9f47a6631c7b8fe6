"""SR segment endpoint behaviours: RFC 8754 clause 4.3.1, RFC 8986 clause 4, RFC 9800 clause 4.1 (32-bit block, 16-bit
C-SIDs). Comments name the lines of the RFCs' pseudo code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rfc_router.choices import Choices
from rfc_router.octets import (
    DESTINATION_OPTIONS,
    HOP_BY_HOP,
    IPV4,
    IPV4_OCTETS,
    IPV6,
    IPV6_OCTETS,
    ROUTING,
    SEGMENT_ROUTING,
    Extension,
    Ip,
    Ipv4,
    Ipv6,
    Malformed,
    Srh,
)
from rfc_router.outcome import Drop, Dropped
from rfc_router.tables import Found

PSP, USD = 1, 2
LBL = 32
"""Locator-Block length; the Argument starts behind block and node (uN), or block, node and function (uA)."""
ARGUMENT = {"u_n": 80, "u_a": 64}
ADVANCING = {"end", "end_flavors", "u_n"}
CROSS_CONNECTING = {"end_x", "end_x_flavors", "u_a"}
NOT_ECT, ECT_1, ECT_0, CE = range(4)
"""RFC 3168 clause 5."""
MERGED = {
    NOT_ECT: {NOT_ECT: NOT_ECT, ECT_0: NOT_ECT, ECT_1: NOT_ECT, CE: None},
    ECT_0: {NOT_ECT: ECT_0, ECT_0: ECT_0, ECT_1: ECT_1, CE: CE},
    ECT_1: {NOT_ECT: ECT_1, ECT_0: ECT_1, ECT_1: ECT_1, CE: CE},
    CE: {NOT_ECT: CE, ECT_0: CE, ECT_1: CE, CE: CE},
}
FAMILY = {"end_dt6": IPV6, "u_dt6": IPV6, "end_dt4": IPV4, "u_dt4": IPV4, "end_dx4": IPV4}


@dataclass(frozen=True)
class Onward:
    """A packet after a segment: to a next hop, or looked up in a VRF; `again` if the node's own segments count too."""

    packet: Ip
    vrf: int = 0
    next_hop: int | None = None
    again: bool = False
    uncovered: bool = False
    """It was in a tunnel that ended here."""


def process(packet: Ipv6, sid: Found, choices: Choices) -> Onward:
    """What the segment `sid` makes of a packet whose destination it is. Raises `Dropped`."""
    if sid.action in FAMILY:
        inner = _decapsulated(packet, FAMILY[sid.action], choices)
        next_hop = sid["next_hop"] if sid.action == "end_dx4" else None
        return Onward(inner, sid.params.get("vrf", 0), next_hop, uncovered=True)
    assert sid.action in ADVANCING | CROSS_CONNECTING
    next_hop = sid["next_hop"] if sid.action in CROSS_CONNECTING else None
    size = ARGUMENT.get(sid.action, 0)
    if packet.destination & (1 << size) - 1:
        moved = _next_c_sid(packet, size)
    else:
        flavors = sid.params.get("flavors", 0)
        srh = _srh(packet, choices)
        if srh is None or srh[1].segments_left == 0:
            return _upper_layer(packet, flavors, next_hop, choices)
        moved = _next_segment(packet, *srh, flavors, choices)
    return Onward(moved, 0, next_hop, again=next_hop is None)


def _next_c_sid(packet: Ipv6, size: int) -> Ipv6:
    """RFC 9800 4.1.1 N01 to N07: `size` is AL, the length of the Argument in bits."""
    if packet.hop_limit <= 1:  # N02
        raise Dropped(Drop.HOP_LIMIT)
    argument = packet.destination & (1 << size) - 1
    block = packet.destination >> 128 - LBL << 128 - LBL
    # N05, N06: the argument stands at bits LBL..LBL+AL-1 from the left, zeros behind it
    return replace(packet, destination=block | argument << 128 - LBL - size).one_hop_less()  # N07


def _next_segment(packet: Ipv6, at: Extension, srh: Srh, flavors: int, choices: Choices) -> Ipv6:
    """RFC 8986 4.1 S05 to S14."""
    if packet.hop_limit <= 1:  # S05
        raise Dropped(Drop.HOP_LIMIT)
    max_le = len(srh.listed) - 1  # S08: as many as Hdr Ext Len has room for
    if srh.last_entry > max_le or srh.segments_left > srh.last_entry + 1:  # S09
        raise Dropped(Drop.SEGMENTS)
    if not _is_readable(srh, choices):
        raise Dropped(Drop.SEGMENTS)
    if choices.checks_tlvs and not srh.tlvs_are_whole:
        raise Dropped(Drop.SEGMENTS)
    left = srh.segments_left - 1  # S13
    packet = replace(packet.one_hop_less(), destination=srh.listed[left])  # S12, S14
    if flavors & PSP and left == 0:
        return _without(packet, at)
    written = replace(srh, segments_left=left).octets()
    return replace(packet, payload=_spliced(packet.payload, at, written))


def _is_readable(srh: Srh, choices: Choices) -> bool:
    """Not everyone takes every list apart; by the letter one with nothing left is not even looked at (S03)."""
    return choices.reads_tlvs or (srh.is_plain and len(srh.listed) <= choices.most_segments)


def _without(packet: Ipv6, at: Extension) -> Ipv6:
    """RFC 8986 4.16.1: the header before takes over the SRH's Next Header; Payload Length follows."""
    before = [each for each in packet.extensions() if each.at < at.at]
    payload = _spliced(packet.payload, at, b"")
    if not before:
        return replace(packet, next_header=at.next_header, payload=payload)
    start = before[-1].at
    return replace(packet, payload=payload[:start] + bytes([at.next_header]) + payload[start + 1 :])


def _spliced(payload: bytes, at: Extension, octets: bytes) -> bytes:
    return payload[: at.at] + octets + payload[at.at + len(at.octets) :]


def _upper_layer(packet: Ipv6, flavors: int, next_hop: int | None, choices: Choices) -> Onward:
    """RFC 8986 4.1.1 and, with USD, 4.16.3; nothing else is allowed by local configuration here."""
    if not flavors & USD:
        raise Dropped(Drop.SEGMENTS)
    family = packet.next_header
    srh = _srh(packet, choices)
    if srh is not None or choices.reads_chains:
        family, _ = packet.upper_layer()
    if family not in (IPV4, IPV6):
        raise Dropped(Drop.UPPER_LAYER)
    return Onward(_decapsulated(packet, family, choices), 0, next_hop, uncovered=True)


def _decapsulated(packet: Ipv6, family: int, choices: Choices) -> Ip:
    """RFC 8986 4.6 to 4.8: S02 with Segments Left other than zero is an error; then the upper layer, 41 or 4."""
    srh = _srh(packet, choices)
    if srh is not None and srh[1].segments_left != 0:
        raise Dropped(Drop.SEGMENTS)
    if srh is not None and not _is_readable(srh[1], choices):
        raise Dropped(Drop.SEGMENTS)
    protocol, octets = packet.upper_layer()
    if protocol != family:
        raise Dropped(Drop.UPPER_LAYER)
    inner = _inner(octets, family, choices)
    return _congested(inner, packet.traffic_class & 3) if choices.merges_ecn else inner


def _congested(inner: Ip, outer: int) -> Ip:
    """RFC 6040 clause 4.2, figure 4: the ECN field that goes on, by the inner one and then by the outer one."""
    gone = MERGED[inner.traffic_class & 3][outer]
    if gone is None:
        raise Dropped(Drop.CONGESTION)
    marked = inner.traffic_class & ~3 | gone
    if isinstance(inner, Ipv6):
        return replace(inner, traffic_class=marked)
    return replace(inner, head=inner.head[:1] + bytes([marked]) + inner.head[2:]).sealed()


def _inner(octets: bytes, family: int, choices: Choices) -> Ip:
    """An uncovered packet, as whole as the node wants it."""
    if family == IPV6:
        return Ipv6.read(octets)
    inner = Ipv4.read(octets)
    if choices.verifies_inner and not inner.is_intact:
        raise Dropped(Drop.MALFORMED)
    if inner.options and not choices.takes_inner_options:
        raise Dropped(Drop.OPTIONS)
    return inner


def _srh(packet: Ipv6, choices: Choices) -> tuple[Extension, Srh] | None:
    """The routing header that the node processes: it stands behind options only, never behind another header.

    A routing header of another type has to be refused while segments are left (RFC 8200 clause 4.4).
    """
    for each in packet.extensions():
        if each.kind == ROUTING and (each.octets[2] == SEGMENT_ROUTING or each.octets[3] or not choices.reads_chains):
            return each, Srh.read(each.octets)
        if each.kind not in (HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING) or not choices.reads_chains:
            raise Dropped(Drop.SEGMENTS)
    return None


def taken_apart(packet: Ipv6, choices: Choices) -> None:
    """An SRH directly behind the IPv6 header, if it is one that the node reads, and the fixed header of an IP packet
    behind either. Raises `Malformed` where one of them breaks off."""
    kind, rest = packet.next_header, packet.payload + packet.trailer
    if kind == ROUTING:
        srh = Extension.read(ROUTING, 0, rest)
        last = srh.octets[4]
        if srh.octets[2] != SEGMENT_ROUTING or srh.octets[1] != 2 * last + 2 or last >= choices.most_segments:
            return
        kind, rest = srh.next_header, rest[len(srh.octets) :]
    if len(rest) < {IPV6: IPV6_OCTETS, IPV4: IPV4_OCTETS}.get(kind, 0):
        raise Malformed("an inner header breaks off")
