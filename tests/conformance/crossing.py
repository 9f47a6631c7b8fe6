"""What becomes of a frame: it crosses the router and is compared, or nothing comes out."""

from __future__ import annotations

from exceptions import differs
from frames import from_core, from_host, inner6, outer
from icmp_messages import UNREACHABLE, UNREACHABLE_V4, icmp_v4, icmp_v6
from packet_world import A6
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from targets import Target

MARKER_BYTES = 77
_MARKERS = {
    1: from_core(outer("fcbb:bb00:1:2::") / inner6(size=MARKER_BYTES)),
    4: from_core(outer("fcbb:bb00:1:3::") / inner6(size=MARKER_BYTES)),
    2: from_core(outer("fcbb:bb00:1:e107::") / inner6(size=MARKER_BYTES, dst=A6)),
    3: from_core(outer("fcbb:bb00:1:e108::") / inner6(size=MARKER_BYTES, dst=A6)),
}
"""By the port by which they leave."""


def crosses(target: Target, port: int, frame: bytes) -> tuple[int, bytes]:
    """Port and bytes of the one frame that comes out."""
    target.send(port, frame)
    received = target.receive(1)
    assert received, "nothing came out"
    return received[0]


def is_dropped(target: Target, port: int, frame: bytes) -> None:
    """The frame, then one marker through every port: only the markers may come out."""
    target.send(port, frame)
    for marker in _MARKERS.values():
        target.send(1, marker)
    received = target.receive(len(_MARKERS))
    assert sorted(at for at, _ in received) == sorted(_MARKERS), [(at, Ether(f).summary()) for at, f in received]
    assert all(len(f) in (14 + MARKER_BYTES, 14 + 40 + MARKER_BYTES) for _, f in received)


def has_no_route(target: Target, port: int, packet: Packet) -> None:
    """A customer's packet that nobody routes: dropped, or answered with Destination Unreachable."""
    if not differs(target.name, "no route"):
        is_dropped(target, port, from_host(port, packet))
        return
    left_by, frame = crosses(target, port, from_host(port, packet))
    ipv4 = isinstance(packet, IP)
    kind, code, _, quoted = (icmp_v4 if ipv4 else icmp_v6)(frame[14:])
    assert (left_by, kind, code) == (port, UNREACHABLE_V4 if ipv4 else UNREACHABLE, 0)
    assert quoted == bytes(packet)
