"""What a router sends into the network, decoded by tshark."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from topologies.lab import Lab
from topologies.traffic import ping

NEXT_HEADER_IPV6, NEXT_HEADER_IPV4 = "41", "4"


def outer(lab: Lab, source: str, address: str, router: str) -> set[tuple[str, ...]]:
    """(destination MAC, outer source, outer destination, next header, inner destination) of what leaves a router."""
    with lab.capture(router, "eth1", "ip6") as capture:
        assert ping(lab, source, address) == 3
    rows = capture.fields("eth.dst", "eth.src", "ipv6.src", "ipv6.dst", "ipv6.nxt", "ip.dst")
    found = set()
    for mac, source_mac, sources, destinations, nexts, inner4 in rows:
        if source_mac.startswith("06:00") and inner4 + destinations:
            inner = inner4 or destinations.split(",")[-1]
            if inner == address:
                found.add((mac, sources.split(",")[0], destinations.split(",")[0], nexts.split(",")[0], inner))
    return {row for row in found if row[0].startswith("02:")}


def carrier(leg: dict[str, Any], name: str) -> str:
    return str(IPv6Address(leg[name]["carriers"][0]))
