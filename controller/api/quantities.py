"""Rates and durations as people write them, into the contract's whole numbers."""

from __future__ import annotations

import re
from fractions import Fraction

KBPS = {"k": 1, "m": 1_000, "g": 1_000_000}
MICROSECONDS = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000}
UINT32_MAX = 2**32 - 1

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµ]*)", re.IGNORECASE)


def kbps(text: str) -> int:
    """`20M`, `1.5G`, `800k` bits per second as kbit/s. ValueError: no such rate."""
    return _whole(re.sub(r"(bit/s|bps)$", "", text.strip()), KBPS, "rate", "100M, 1.5G or 800k")


def microseconds(text: str) -> int:
    """`5ms`, `1.2ms`, `900us`, `0` as microseconds. ValueError: no such duration."""
    return 0 if text.strip() == "0" else _whole(text.strip(), MICROSECONDS, "duration", "5ms or 900us")


def _whole(text: str, units: dict[str, int], kind: str, like: str) -> int:
    matched = _QUANTITY.fullmatch(text)
    unit = units.get(matched.group(2).lower()) if matched else None
    if matched is None or unit is None:
        raise ValueError(f"{text!r} is no {kind} like {like}")
    value = Fraction(matched.group(1)) * unit
    if value.denominator != 1 or value > UINT32_MAX:
        raise ValueError(f"{text!r} is finer or larger than a {kind} can be told")
    return int(value)


def rate(value_kbps: int) -> str:
    """A rate for people: `100 Mbit/s`."""
    for unit, size in (("Gbit/s", 1_000_000), ("Mbit/s", 1_000)):
        if value_kbps >= size:
            return f"{value_kbps / size:.6g} {unit}"
    return f"{value_kbps} kbit/s"


def duration(value_us: int) -> str:
    """A duration for people: `1.204 ms`."""
    return f"{value_us / 1000:g} ms" if value_us >= 1000 else f"{value_us} µs"


def figure(name: str, value: str) -> str:
    """A figure of a refusal for people: `maxBandwidthKbps`, `80000` is `max bandwidth 80 Mbit/s`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name).lower()
    subject, _, unit = words.rpartition(" ")
    told = {"kbps": rate, "us": duration}.get(unit)
    if told and re.fullmatch(r"[0-9]{1,15}", value):
        return f"{subject} {told(int(value))}"
    return f"{words} {re.sub(r'domains/[^/ ,]+/(?:nodes|links)/', '', value)}"
