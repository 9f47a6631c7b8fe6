"""Great circles against the law of cosines, and how long light needs."""

from __future__ import annotations

from dataclasses import replace
from math import acos, cos, pi, sin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import domain, node_name, router

from controller.core.geography import great_circle_km, light_floor_us


def central_angle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Spherical law of cosines, degrees in, on a sphere of 6371.0088 km."""
    (lat_a, lon_a), (lat_b, lon_b) = ([x * pi / 180 for x in p] for p in (a, b))
    cosine = sin(lat_a) * sin(lat_b) + cos(lat_a) * cos(lat_b) * cos(lon_b - lon_a)
    return 6371.0088 * acos(max(-1.0, min(1.0, cosine)))


@given(*[st.floats(-90, 90), st.floats(-180, 180)] * 2)
def test_great_circle_against_the_law_of_cosines(a: float, b: float, c: float, d: float) -> None:
    assert great_circle_km((a, b), (c, d)) == pytest.approx(central_angle_km((a, b), (c, d)), abs=0.2)


def test_light_from_beijing_to_guian_needs_about_six_milliseconds() -> None:
    topology = domain((1, 2), [])
    far = {"r1": (39.9042, 116.4074), "r2": (26.40, 106.50)}
    nodes = {node_name(n): replace(router(1), latitude=lat, longitude=lon) for n, (lat, lon) in far.items()}
    floor = light_floor_us(replace(topology, nodes=nodes), node_name("r1"), node_name("r2"))
    assert floor == int(central_angle_km(far["r1"], far["r2"]) / 299_792.458 * 1e6)
    assert 5_500 < floor < 6_500
