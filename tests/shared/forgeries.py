"""Frames that a customer may not send, and their sending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from corridor_lab import channel
from raw_frames import command
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from topologies.lab import Lab

MARKER = 47_111
MARKED = f"udp.dstport == {MARKER} and not icmpv6"
"""A display filter; the far host answers that there is no such port."""
_PER_SECOND = 500


@dataclass(frozen=True, slots=True)
class Customer:
    """A host, the router's MAC on its port, and whom it may talk to."""

    host: str
    address: str
    router_mac: str
    peer: str

    def send(self, lab: Lab, frame: Packet, count: int = 20) -> None:
        lab.run(self.host, command("eth0", bytes(frame), count, _PER_SECOND))

    def datagram(self, destination: str = "", mac: str = "") -> Packet:
        """To the peer by way of the router, or elsewhere."""
        header = IPv6(src=self.address, dst=destination or self.peer)
        return Ether(dst=mac or self.router_mac) / header / UDP(dport=MARKER) / Raw(b"forged")

    def forgeries(self, corridor: dict[str, Any], node_address: str) -> dict[str, Packet]:
        """By what is wrong with them: addressed to a segment, a router, an adjacency; with an SRH; to a channel."""
        sid = corridor["legs"][0]["forward"]["carriers"][0]
        routed = IPv6ExtHdrSegmentRouting(addresses=[self.peer], segleft=0, lastentry=0)
        ether, inner = Ether(dst=self.router_mac), IPv6(src=self.address, dst=self.peer)
        return {
            "sid": self.datagram(sid),
            "sid with an inner packet": ether / IPv6(src=self.address, dst=sid, nh=41) / inner / UDP(dport=MARKER),
            "node address": self.datagram(node_address),
            "adjacency address": self.datagram("fdc0:de::1"),
            "srh": ether / inner / routed / UDP(dport=MARKER) / Raw(b"forged"),
            "channel": self.datagram(mac=channel(corridor)),
        }
