"""On the wire: what one router sends, another of any kind takes apart, and the customer's packet is whole."""

from __future__ import annotations

import os

import pytest
from corridor_lab import Make, channel
from raw_frames import command
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import rdpcap
from sites import EAST, WAYS, WEST, Mix, Site, body, met
from tunnels import NEXT_HEADER_IPV4, NEXT_HEADER_IPV6, carrier, outer

from topologies.lab import Lab
from topologies.traffic import await_ping

NEXT_HEADERS = (NEXT_HEADER_IPV4, NEXT_HEADER_IPV6)
LISTS = {"eastward": ("forwardIpv4", "forward"), "westward": ("reverseIpv4", "reverse")}
COUNT = 5
DSCP_EF = 46 << 2
HOP_LIMIT = 17
TAKEN_AT_ENTRY = {"linux": 0, "bmv2": 1}
"""From the customer's hop limit; the kernel's tunnel is no hop, and the far end takes one in any case."""


@pytest.mark.parametrize("isolation", ["HARD", "SOFT"])
def test_the_wire_carries_what_the_api_shows(lab: Lab, corridor: Make, isolation: str) -> None:
    """Channel address, outer source, the one carrier, and the customer's packet right behind it: no SRH."""
    made = corridor("wire", body(isolation, only=10))
    met(lab)
    for direction, (way, (source, sink)) in enumerate(WAYS.items()):
        for name, next_header, address in zip(LISTS[way], NEXT_HEADERS, sink.address, strict=True):
            rows = outer(lab, source.host, address, source.router)
            expected = (source.node_address, carrier(made["legs"][0], name), next_header, address)
            assert {row[1:] for row in rows} == {expected}
            if isolation == "HARD":
                assert {row[0] for row in rows} == {f"{channel(made)[:-2]}{direction:02x}"}


@pytest.mark.parametrize(("source", "sink"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_customers_packets_arrive_as_they_were(
    lab: Lab, corridor: Make, mix: Mix, family: int, source: Site, sink: Site
) -> None:
    """Every octet but those of the hop limit: code point, identification or flow label, options of the sender's."""
    corridor("whole", body(only=10))
    await_ping(lab, source.host, sink.address[family])
    sent = customer_packet(source, sink, family)
    with lab.capture(sink.host, "eth0", "udp port 4444") as capture:
        lab.run(source.host, command("eth0", bytes(Ether(dst=source.mac) / sent), COUNT, 200))
        await_ping(lab, source.host, sink.address[family])
    left = HOP_LIMIT - 1 - TAKEN_AT_ENTRY[mix[(WEST, EAST).index(source)]]
    arrived = [bytes(frame[Ether].payload) for frame in rdpcap(str(capture.file)) if frame.haslayer(UDP)]
    assert arrived == [with_hop_limit(sent, left)] * COUNT


def customer_packet(source: Site, sink: Site, family: int) -> Packet:
    payload = UDP(sport=4445, dport=4444) / Raw(os.urandom(700))
    addresses = {"src": source.address[family], "dst": sink.address[family]}
    if family == 0:
        return IP(**addresses, tos=DSCP_EF, id=0xABCD, flags="DF", ttl=HOP_LIMIT) / payload
    return IPv6(**addresses, tc=DSCP_EF, fl=0xABCDE, hlim=HOP_LIMIT) / payload


def with_hop_limit(packet: Packet, left: int) -> bytes:
    copy = packet.copy()
    setattr(copy, "ttl" if copy.version == 4 else "hlim", left)
    return bytes(copy)
