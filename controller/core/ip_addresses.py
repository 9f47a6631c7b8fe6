"""Addresses and prefixes as they are written, read once: entries of thousands of corridors name the same few."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

KEPT = 1 << 16


@lru_cache(KEPT)
def network_of(text: str) -> IPv4Network | IPv6Network:
    """A prefix; `ValueError` where it is none."""
    return ip_network(text)


@lru_cache(KEPT)
def ipv6_number(text: str) -> int:
    """An IPv6 address as a number; `ValueError` where it is none."""
    return int(IPv6Address(text))
