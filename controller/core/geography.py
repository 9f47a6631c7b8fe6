"""Places on earth, and how fast light gets from one to another."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

from controller.core.topology import Topology

EARTH_RADIUS_KM = 6371.0088
LIGHT_US_PER_KM = 1 / 0.299792458
"""Vacuum: no fibre, of whatever kind, is faster."""


def great_circle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance between (latitude, longitude) pairs in degrees (haversine)."""
    lat_a, lat_b = radians(a[0]), radians(b[0])
    half = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(radians(b[1] - a[1]) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(half)))


def light_floor_us(topology: Topology, a: str, b: str) -> int:
    """One-way delay between two nodes at the speed of light in vacuum over the great circle, rounded down."""
    first, second = topology.nodes[a], topology.nodes[b]
    distance = great_circle_km((first.latitude, first.longitude), (second.latitude, second.longitude))
    return int(distance * LIGHT_US_PER_KM)
