"""Probes on the wire: Ethernet, IPv6, a reduced SRH where there is more than one carrier, UDP, and 22 bytes.

Echo port and idea are those of BFD (RFC 5881 clause 4, RFC 9747): the probe comes back to who sent it, and nobody on
the way looks into it. Payload: the engine's random key (8 bytes), path (2), sequence (4), time of sending (8, ns).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from controller.linux import stamp

UDP_PORT = 3785
HOP_LIMIT = 64
KEY_BYTES = 8
_UDP, _ROUTING, _SEGMENT_ROUTING = 17, 43, 4
_IPV6 = struct.Struct("!IHBB16s16s")
_UDP_HEADER = struct.Struct("!HHHH")
_PAYLOAD = struct.Struct("!8sHIQ")
_UDP_LENGTH = _UDP_HEADER.size + _PAYLOAD.size
_DSCP_CS6 = 48
_VERSION_CLASS = 6 << 28 | _DSCP_CS6 << 22
_ETHERTYPE_IPV6 = b"\x86\xdd"


class Returned(NamedTuple):
    path: int
    sequence: int
    sent_ns: int


@dataclass(frozen=True, slots=True)
class ProbeFrame:
    """The frames of one path; they differ in sequence, time and checksum only."""

    head: bytes
    """As far as the UDP checksum."""
    sum: int
    """Of what the checksum covers and never changes."""
    key: bytes
    path: int

    def at(self, sequence: int, now_ns: int) -> bytes:
        payload = _PAYLOAD.pack(self.key, self.path, sequence & 0xFFFFFFFF, now_ns)
        # A sum of 16-bit words in ones' complement is the number that they write, modulo 0xffff.
        checksum = 0xFFFF - (self.sum + int.from_bytes(payload, "big")) % 0xFFFF
        return self.head + checksum.to_bytes(2, "big") + payload


def probe_frame(src_mac: int, dst_mac: int, carriers: Sequence[int], key: bytes, path: int) -> ProbeFrame:
    """`carriers` in order of travel; the last one is the own address, and the source."""
    own = carriers[-1].to_bytes(16, "big")
    srh = _srh(carriers[1:])
    ethernet = dst_mac.to_bytes(6, "big") + src_mac.to_bytes(6, "big") + _ETHERTYPE_IPV6
    length, next_header = len(srh) + _UDP_LENGTH, _ROUTING if srh else _UDP
    first = carriers[0].to_bytes(16, "big")
    ipv6 = _IPV6.pack(_VERSION_CLASS, length, next_header, HOP_LIMIT, own, first)
    udp = struct.pack("!HHH", UDP_PORT, UDP_PORT, _UDP_LENGTH)
    # The pseudo-header has the last destination (RFC 8200 clause 8.1).
    covered = own + own + struct.pack("!II", _UDP_LENGTH, _UDP) + udp
    return ProbeFrame(ethernet + ipv6 + srh + udp, int.from_bytes(covered, "big") % 0xFFFF, key, path)


def _srh(later: Sequence[int]) -> bytes:
    """Reduced (RFC 8754 clause 4.1.1): all carriers but the first, the last one first."""
    if not later:
        return b""
    count = len(later)
    segments = b"".join(carrier.to_bytes(16, "big") for carrier in reversed(later))
    return struct.pack("!BBBBBBH", _UDP, 2 * count, _SEGMENT_ROUTING, count, count - 1, 0, 0) + segments


def parse(frame: bytes, key: bytes) -> Returned | None:
    """Of a frame that `program` has let pass; None for what has not this key where a probe has it."""
    if len(frame) < _PAYLOAD.size:
        return None
    # It ends with the payload: no probe is so short that a link would fill it up.
    found, path, sequence, sent_ns = _PAYLOAD.unpack_from(frame, len(frame) - _PAYLOAD.size)
    return Returned(path, sequence, sent_ns) if found == key else None


def program(key: bytes) -> bytes:
    """Classic BPF for a packet socket: own probes that came back to this machine, and nothing else."""
    return stamp.behind_udp(UDP_PORT, key)
