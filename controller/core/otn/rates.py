"""Rates of the optical layer, exact: how many slots a bandwidth needs, and how long a packet takes to clock in.

Rates in bit/s are exact integers. Sources: G.709 Annex M/N as summarised in the project's facts (one fgTS
carries p x 10 009 306 bit/s of Ethernet; 119, 238, 952 fgTS in an ODU0, ODU1, ODU2).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from controller.core.model import Container

FGTS_ETHERNET_BPS = 10_009_306
"""Ethernet payload of one fine-grain tributary slot, bit/s."""
MAX_FGTS_PER_SLICE = 119
"""fgODUflex(p), p = 1..119."""
FGTS_PER_SERVER: Mapping[Container, int] = MappingProxyType(
    {Container.ODU0: 119, Container.ODU1: 238, Container.ODU2: 952}
)
ETHERNET_OVERHEAD_BYTES = 38
"""Header 14, FCS 4, preamble 8, inter-packet gap 12."""


def wire_kbps(bandwidth_kbps: int, packet_bytes: int, encapsulation_bytes: int) -> int:
    """Ethernet rate that carries `bandwidth_kbps` of customer IP bits in packets of `packet_bytes`, rounded up."""
    return -(-bandwidth_kbps * (packet_bytes + encapsulation_bytes + ETHERNET_OVERHEAD_BYTES) // packet_bytes)


def fgts_for(rate_kbps: int) -> int:
    """Fine-grain slots for a wire rate; at least one."""
    return max(1, -(-rate_kbps * 1000 // FGTS_ETHERNET_BPS))


def slots_bandwidth_kbps(slots: int, packet_bytes: int, encapsulation_bytes: int) -> int:
    """The most customer bandwidth that needs no more than `slots`: the inverse of `fgts_for(wire_kbps(…))`."""
    wire = slots * FGTS_ETHERNET_BPS // 1000
    return wire * packet_bytes // (packet_bytes + encapsulation_bytes + ETHERNET_OVERHEAD_BYTES)


def slots_rate_kbps(slots: int) -> int:
    """Ethernet rate of `slots` fine-grain slots, rounded down."""
    return slots * FGTS_ETHERNET_BPS // 1000


def serialisation_us(packet_bytes: int, slots: int) -> int:
    """Time to clock a packet into a slice of `slots`, rounded up: the real latency cost of a thin slice."""
    return -(-packet_bytes * 8 * 1_000_000 // (slots * FGTS_ETHERNET_BPS))
