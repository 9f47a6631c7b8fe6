"""Rates of packets and of fine-grain slots: how many slots a bandwidth needs, how long a packet takes to clock in.

fgODUflex(p) is p x 10 409.203 kbit/s (G.709 Annex M, by a secondary source: no closed form is published). Of a frame
of 15 296 bytes 15 168 are payload, which carries 64B/66B blocks: one slot carries 10 009 306 bit/s of Ethernet.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

from controller.core.model import Container
from controller.core.otn.odu import FRAME_BITS
from controller.core.otn.tributary import LINE_SLOTS

FGODUFLEX_KBPS = Fraction("10409.203")
"""fgODUflex(1)."""
FGODUFLEX_PAYLOAD = Fraction(15_168, 15_296)
BLOCK_SHARE = Fraction(64, 66)
"""Of 64B/66B blocks, what is Ethernet."""
FGTS_ETHERNET_BPS = round(FGODUFLEX_KBPS * FGODUFLEX_PAYLOAD * BLOCK_SHARE * 1000)
"""Ethernet of one fine-grain tributary slot, to the nearest bit/s: 10 009 306."""
MAX_FGTS_PER_SLICE = 119
"""fgODUflex(p), p = 1..119."""
FGTS_PER_TRIBUTARY = 119
"""Fine-grain slots per 1.25G of a server."""
FGTS_PER_SERVER: Mapping[Container, int] = MappingProxyType(
    {odu: LINE_SLOTS[odu] * FGTS_PER_TRIBUTARY for odu in (Container.ODU0, Container.ODU1, Container.ODU2)}
)
"""119, 238, 952. There is no such server of ODU3, ODU4 or ODUCn: fine-grain slots go into an ODU0, 1, 2 or flex."""
FGTS_ODUFLEX_SIZES = range(3, 8)
"""n of ODUflex(fgTS, n): the sizes between ODU1 and ODU2, in units of 1.25G."""
ETHERNET_HEADER_BYTES = 14
ETHERNET_OVERHEAD_BYTES = ETHERNET_HEADER_BYTES + 24
"""With FCS 4, preamble 8, inter-packet gap 12."""


def fgoduflex_kbps(slots: int) -> Fraction:
    """Nominal rate of fgODUflex(slots)."""
    return slots * FGODUFLEX_KBPS


def fgoduflex_payload_kbps(slots: int) -> Fraction:
    """Nominal rate of its payload, fgOPUflex: 64B/66B blocks."""
    return fgoduflex_kbps(slots) * FGODUFLEX_PAYLOAD


def fgoduflex_frame_us(slots: int) -> Fraction:
    """Frame period: 11 756 µs of one slot, so shorter the more there are."""
    return FRAME_BITS * 1000 / fgoduflex_kbps(slots)


def oduflex_fgts(n: int) -> int:
    """Fine-grain slots of the server ODUflex(fgTS, n); `ValueError` unless n is 3..7."""
    if n not in FGTS_ODUFLEX_SIZES:
        raise ValueError(f"there is no ODUflex(fgTS, {n})")
    return n * FGTS_PER_TRIBUTARY


def wire_kbps(bandwidth_kbps: int, packet_bytes: int, encapsulation_bytes: int) -> int:
    """Ethernet rate that carries `bandwidth_kbps` of customer IP bits in packets of `packet_bytes`, rounded up."""
    return -(-bandwidth_kbps * (packet_bytes + encapsulation_bytes + ETHERNET_OVERHEAD_BYTES) // packet_bytes)


def arriving_bytes_per_s(rate_kbps: int, packet_bytes: int, encapsulation_bytes: int) -> int:
    """What the packets that `rate_kbps` of wire carries are as a customer sends them: without what encapsulation adds,
    and with the Ethernet header alone, which is what a switch counts. Rounded down."""
    return (
        rate_kbps
        * 125
        * (packet_bytes + ETHERNET_HEADER_BYTES)
        // (packet_bytes + encapsulation_bytes + ETHERNET_OVERHEAD_BYTES)
    )


def slots_for(rate_kbps: int, slot_bps: int) -> int:
    """Slots of `slot_bps` each for a wire rate; at least one."""
    return max(1, -(-rate_kbps * 1000 // slot_bps))


def slots_rate_kbps(slots: int, slot_bps: int = FGTS_ETHERNET_BPS) -> int:
    """Ethernet rate of `slots`, rounded down."""
    return slots * slot_bps // 1000


def serialisation_us(packet_bytes: int, slots: int, slot_bps: int = FGTS_ETHERNET_BPS) -> int:
    """Time to clock a packet into a slice of `slots`, rounded up: the real latency cost of a thin slice."""
    return -(-packet_bytes * 8 * 1_000_000 // (slots * slot_bps))


def least_slots(packet_bytes: int, budget_us: int, slot_bps: int = FGTS_ETHERNET_BPS) -> int | None:
    """The fewest slots that clock a packet in within `budget_us` (`serialisation_us` is no more than it).

    None where the budget is not even 1 µs: then no number of slots is enough.
    """
    if budget_us < 1:
        return None
    return max(1, -(-packet_bytes * 8 * 1_000_000 // (budget_us * slot_bps)))
