"""IP packets to octets and back: RFC 8200 (IPv6), RFC 791 (IPv4), RFC 8754 clause 2 (SRH)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

HOP_BY_HOP, IPV4, TCP, UDP, IPV6, ROUTING, FRAGMENT, AUTHENTICATION = 0, 4, 6, 17, 41, 43, 44, 51
ICMP, ICMPV6, DESTINATION_OPTIONS = 1, 58, 60
MOBILITY, HOST_IDENTITY, SHIM = 135, 139, 140
BETWEEN_HOSTS = {MOBILITY, HOST_IDENTITY, SHIM}
"""Extension headers between hosts, which no router needs."""
EXTENSIONS = {HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS} | BETWEEN_HOSTS
"""Of RFC 7045 clause 4, but for ESP, behind which nobody can look."""
SEGMENT_ROUTING = 4
MAC_OCTETS = 6
ETHERNET_OCTETS, IPV6_OCTETS, IPV4_OCTETS, SEGMENT_OCTETS = 14, 40, 20, 16


class Malformed(Exception):
    """Octets that are no packet of their kind, and why."""


def checksum(octets: bytes) -> int:
    """The internet checksum (RFC 1071) of an even or odd number of octets."""
    padded = octets + bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Ipv6:
    """RFC 8200 clause 3. `payload` is everything behind the fixed header, `trailer` what the link padded it with."""

    traffic_class: int
    flow_label: int
    next_header: int
    hop_limit: int
    source: int
    destination: int
    payload: bytes
    trailer: bytes = b""

    @classmethod
    def read(cls, octets: bytes) -> Ipv6:
        if len(octets) < IPV6_OCTETS or octets[0] >> 4 != 6:
            raise Malformed("no IPv6 header")
        first, length, next_header, hop_limit = struct.unpack("!IHBB", octets[:8])
        if len(octets) < IPV6_OCTETS + length:
            raise Malformed("shorter than its Payload Length")
        source, destination = (int.from_bytes(octets[at : at + 16], "big") for at in (8, 24))
        end = IPV6_OCTETS + length
        fields = first >> 20 & 0xFF, first & 0xFFFFF, next_header, hop_limit, source, destination
        return cls(*fields, octets[IPV6_OCTETS:end], octets[end:])

    def octets(self) -> bytes:
        first = 6 << 28 | self.traffic_class << 20 | self.flow_label
        head = struct.pack("!IHBB", first, len(self.payload), self.next_header, self.hop_limit)
        return head + self.source.to_bytes(16, "big") + self.destination.to_bytes(16, "big") + self.payload

    @property
    def length(self) -> int:
        return IPV6_OCTETS + len(self.payload)

    def one_hop_less(self) -> Ipv6:
        return replace(self, hop_limit=self.hop_limit - 1)

    def extensions(self) -> Iterator[Extension]:
        """The chain of extension headers (RFC 8200 clause 4); it ends with what is none, or at a later fragment."""
        kind, at = self.next_header, 0
        while kind in EXTENSIONS:
            found = Extension.read(kind, at, self.payload)
            yield found
            kind, at = found.next_header, at + len(found.octets)
            if found.is_later_fragment:
                return

    def upper_layer(self) -> tuple[int, bytes]:
        """Protocol and octets behind the whole chain."""
        kind, at = self.next_header, 0
        for each in self.extensions():
            kind, at = each.next_header, each.at + len(each.octets)
        return kind, self.payload[at:]


@dataclass(frozen=True)
class Extension:
    """One extension header: its kind, where it begins in the payload, and its octets."""

    kind: int
    at: int
    octets: bytes

    @classmethod
    def read(cls, kind: int, at: int, payload: bytes) -> Extension:
        head = payload[at : at + 8]
        if len(head) < 8:
            raise Malformed("the chain of headers is cut off")
        length = {FRAGMENT: 8, AUTHENTICATION: (head[1] + 2) * 4}.get(kind, (head[1] + 1) * 8)
        if len(payload) < at + length:
            raise Malformed("an extension header is cut off")
        return cls(kind, at, payload[at : at + length])

    @property
    def next_header(self) -> int:
        return self.octets[0]

    @property
    def is_later_fragment(self) -> bool:
        return self.kind == FRAGMENT and int.from_bytes(self.octets[2:4], "big") >> 3 != 0


@dataclass(frozen=True)
class Srh:
    """RFC 8754 clause 2. `listed[i]` is Segment List[i]: the last segment of the way is the first of the list."""

    next_header: int
    segments_left: int
    last_entry: int
    flags: int
    tag: int
    listed: tuple[int, ...]
    """As many as the header's length has room for."""
    rest: bytes = b""
    """What is left of the length beyond whole segments."""

    @classmethod
    def read(cls, octets: bytes) -> Srh:
        next_header, length, kind, left, last, flags, tag = struct.unpack("!BBBBBBH", octets[:8])
        if kind != SEGMENT_ROUTING:
            raise Malformed(f"routing header of type {kind}")
        ends = [8 + SEGMENT_OCTETS * i for i in range(length // 2 + 1)]
        listed = tuple(int.from_bytes(octets[at : at + SEGMENT_OCTETS], "big") for at in ends[:-1])
        return cls(next_header, left, last, flags, tag, listed, octets[ends[-1] :])

    @property
    def is_plain(self) -> bool:
        """As long as its segments, no more and no less."""
        return self.last_entry + 1 == len(self.listed) and not self.rest

    @property
    def tlvs_are_whole(self) -> bool:
        """Type, length, value, one behind the other to the end of the header."""
        octets = self.octets()[8 + SEGMENT_OCTETS * (self.last_entry + 1) :]
        while len(octets) > 1:
            if len(octets) < 2 + octets[1]:
                return False
            octets = octets[2 + octets[1] :]
        return not octets

    def octets(self) -> bytes:
        body = b"".join(each.to_bytes(SEGMENT_OCTETS, "big") for each in self.listed) + self.rest
        fields = self.next_header, len(body) // 8, SEGMENT_ROUTING, self.segments_left, self.last_entry
        return struct.pack("!BBBBBBH", *fields, self.flags, self.tag) + body


@dataclass(frozen=True)
class Ipv4:
    """RFC 791 clause 3.1; `head` holds the first eight octets and `options` what is between addresses and payload."""

    head: bytes
    ttl: int
    protocol: int
    header_checksum: int
    source: int
    destination: int
    options: bytes
    payload: bytes
    trailer: bytes = b""

    @classmethod
    def read(cls, octets: bytes) -> Ipv4:
        if len(octets) < IPV4_OCTETS or octets[0] >> 4 != 4:
            raise Malformed("no IPv4 header")
        header, length = (octets[0] & 0xF) * 4, int.from_bytes(octets[2:4], "big")
        if not IPV4_OCTETS <= header <= length <= len(octets):
            raise Malformed("lengths of the IPv4 header do not agree")
        ttl, protocol, total, source, destination = struct.unpack("!BBHII", octets[8:20])
        body = octets[20:header], octets[header:length], octets[length:]
        return cls(octets[:8], ttl, protocol, total, source, destination, *body)

    def octets(self) -> bytes:
        tail = struct.pack("!II", self.source, self.destination) + self.options
        head = self.head + struct.pack("!BBH", self.ttl, self.protocol, self.header_checksum)
        return head + tail + self.payload

    def sealed(self) -> Ipv4:
        """With the checksum that belongs to it (RFC 791: computed anew wherever the header changes)."""
        header = replace(self, header_checksum=0).octets()[: IPV4_OCTETS + len(self.options)]
        return replace(self, header_checksum=checksum(header))

    @property
    def is_intact(self) -> bool:
        return self.sealed() == self

    @property
    def traffic_class(self) -> int:
        return self.head[1]

    @property
    def length(self) -> int:
        return int.from_bytes(self.head[2:4], "big")

    def one_hop_less(self) -> Ipv4:
        return replace(self, ttl=self.ttl - 1).sealed()

    @property
    def hop_limit(self) -> int:
        return self.ttl


Ip: TypeAlias = Ipv6 | Ipv4
