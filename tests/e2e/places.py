"""Corridors of the metro topology that the tests ask for, and the hosts at their ends."""

from __future__ import annotations

from typing import Any

from corridor_lab import Make as Make
from corridor_lab import between

from topologies.system import end_point, profiles

DOMAIN = "metro-beijing"
ZGC, YZ, CP, FT, SY, SG = "h-zgc", "h-yz", "h-cp", "h-ft", "h-sy", "h-sg"
ADDRESS = {
    "h-zgc": ("10.1.0.2", "2001:db8:1::2"),
    "h-cp": ("10.2.0.2", "2001:db8:2::2"),
    "h-sy": ("10.3.0.2", "2001:db8:3::2"),
    "h-yz": ("10.5.0.2", "2001:db8:5::2"),
    "h-ft": ("10.6.0.2", "2001:db8:6::2"),
    "h-sg": ("10.7.0.2", "2001:db8:7::2"),
}
ENDS = {
    "h-zgc": ("zgc-r", "campus", "10.1.0.0/24", "2001:db8:1::/64"),
    "h-cp": ("cp-r", "dc", "10.2.0.0/24", "2001:db8:2::/64"),
    "h-sy": ("sy-r", "cell", "10.3.0.0/24", "2001:db8:3::/64"),
    "h-yz": ("yz-r", "dc", "10.5.0.0/24", "2001:db8:5::/64"),
    "h-ft": ("ft-r", "office", "10.6.0.0/24", "2001:db8:6::/64"),
    "h-sg": ("sg-r", "dc", "10.7.0.0/24", "2001:db8:7::/64"),
}


def body(a: str, z: str, isolation: str = "HARD", active: str = "", **mbps: float) -> dict[str, Any]:
    """A corridor between two hosts' ports, with these profiles."""
    mbps = mbps or {"inference": 20, "training": 100}
    return between(end_point(DOMAIN, *ENDS[a]), end_point(DOMAIN, *ENDS[z]), isolation, active, **mbps)


def tenant_body(tenant: str) -> dict[str, Any]:
    """The same addresses for every tenant, on its own ports of the same two routers."""
    return {
        "aEnd": end_point(DOMAIN, "zgc-r", tenant, "10.9.1.0/24", "2001:db8:91::/64"),
        "zEnd": end_point(DOMAIN, "yz-r", tenant, "10.9.2.0/24", "2001:db8:92::/64"),
        "isolation": "HARD",
        "profiles": profiles(inference=20),
        "activeProfile": "inference",
    }
