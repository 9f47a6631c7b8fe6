"""Packets to the router itself: echo (RFC 9259 A.1), STAMP (RFC 8762), and nothing else."""

from __future__ import annotations

import pytest
from crossing import crosses, is_dropped
from device_contract import Recorder
from exceptions import differs
from frames import from_core, inner6, on_channel, outer, srh
from icmp_messages import checksum_holds
from packet_world import SOURCE
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from targets import DEVICE, Target
from waiting import until

PEER = "fcbb:bb00:2::1"
STAMP = 862
pytestmark = pytest.mark.covers("node_address.to_node")


def to_node(upper: Packet, **fields: object) -> bytes:
    return from_core(IPv6(src=PEER, dst=SOURCE, **fields) / upper)


@pytest.mark.parametrize("size", [0, 1, 56, 1001])
def test_an_echo_request_is_answered(target: Target, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    port, frame = crosses(target, 1, to_node(ICMPv6EchoRequest(id=0x1234, seq=7, data=data)))
    label = Ether(frame)[IPv6].fl  # the router's own flow, and its own choice (RFC 6437)
    reply = IPv6(src=SOURCE, dst=PEER, hlim=64, fl=label) / ICMPv6EchoReply(id=0x1234, seq=7, data=data)
    assert (port, frame) == (1, on_channel(1, reply))
    assert checksum_holds(frame[14:])


def test_a_bad_checksum_has_no_answer(target: Target) -> None:
    frame = to_node(ICMPv6EchoRequest(id=1, seq=7, cksum=0x1111))
    if differs(target.name, "echo checksum"):
        _, answer = crosses(target, 1, frame)
        assert not checksum_holds(answer[14:])
    else:
        is_dropped(target, 1, frame)


LISTED = srh(17, 0, "fcbb:bb00:9::", SOURCE)
"""The node as the last segment of a list (RFC 8754 clause 4.3.2)."""


@pytest.mark.parametrize("size", [44, 1001])
@pytest.mark.parametrize("before", [(), (LISTED,)], ids=["at once", "behind a list"])
async def test_stamp_is_punted(target: Target, size: int, before: tuple[Packet, ...]) -> None:
    probe: Packet = UDP(sport=5000, dport=STAMP) / Raw(b"s" * size)
    for header in before:
        probe = header / probe
    frame = to_node(probe, hlim=255)
    listener = Recorder()
    async with target.controlled(listener):
        target.send(1, frame)
        await until(lambda: listener.frames, "the probe")
    assert listener.frames == [(DEVICE, 1, frame)]
    assert target.receive(1, seconds=0.1) == []


@pytest.mark.parametrize("upper", [UDP(dport=9999), TCP(dport=22), ICMPv6EchoReply()], ids=["udp", "tcp", "reply"])
def test_nothing_else_is_heard(target: Target, upper: Packet) -> None:
    is_dropped(target, 1, to_node(upper))


def test_a_customer_does_not_reach_the_node(target: Target) -> None:
    """Neither directly nor out of a tunnel: after decapsulation nothing is to the node."""
    inner = inner6(dst=SOURCE)
    is_dropped(target, 1, from_core(outer("fcbb:bb00:1:e107::") / inner))
