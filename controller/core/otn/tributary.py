"""Tributary slots of a line's ODU: how many it has, what one carries, and how many each client takes.

Sources: G.709 tables 7-9 (ODTUk.ts payload) and 7-8 (ODUflex(GFP)), clauses 19.6 and 20.5; RFC 7139 clauses 5.1, 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from types import MappingProxyType

from controller.core.model import Container
from controller.core.otn.odu import ODUK, PPM, Odu, oduc

SLOTS_PER_ODUC = 20
"""5G slots of each of the n ODUC of an ODUCn."""
MAX_ODUC = 10
"""Lines of up to 1 Tbit/s."""
LINE_SLOTS: Mapping[Container, int] = MappingProxyType(
    {Container.ODU0: 1, Container.ODU1: 2, Container.ODU2: 8, Container.ODU3: 32, Container.ODU4: 80}
)
"""1.25G tributary slots of each ODU. An ODUCn has 20 n of 5G: see `line_slots`."""
GFP_TOLERANCE_PPM = 100
GFP_HEADROOM_PPM = 186
"""An ODUk.ts is so much below the slot payload it is named after: n of it always fit n slots of an ODUk."""
_SIZES = (*LINE_SLOTS, Container.ODUC)
_ASYNCHRONOUS = frozenset(
    {
        (Container.ODU0, Container.ODU1),
        (Container.ODU1, Container.ODU2),
        (Container.ODU1, Container.ODU3),
        (Container.ODU2, Container.ODU3),
    }
)
"""(client, server) that AMP maps (G.709 19.5): justification absorbs both tolerances, so nominal rates decide."""


@dataclass(frozen=True, slots=True)
class SlotPayload:
    """ODTUk.ts: what one tributary slot of a server carries, kbit/s."""

    nominal: Fraction
    tolerance_ppm: int = 20

    @property
    def least(self) -> Fraction:
        return self.nominal * (PPM - self.tolerance_ppm) / PPM

    @property
    def most(self) -> Fraction:
        return self.nominal * (PPM + self.tolerance_ppm) / PPM


def _slot_payloads() -> dict[Container, SlotPayload]:
    whole = (Container.ODU1, Container.ODU2, Container.ODU3)
    payloads = {each: SlotPayload(ODUK[each].payload / LINE_SLOTS[each]) for each in whole}
    stuffed = ODUK[Container.ODU4].payload * Fraction(3800, 3808)  # of its columns, eight belong to no slot
    payloads[Container.ODU4] = SlotPayload(stuffed / LINE_SLOTS[Container.ODU4])
    payloads[Container.ODUC] = SlotPayload(oduc(1).payload / SLOTS_PER_ODUC)
    return payloads


SLOT_PAYLOAD: Mapping[Container, SlotPayload] = MappingProxyType(_slot_payloads())


def line_slots(line: Container, n: int = 1) -> int:
    """Tributary slots of a line: 8 of 1.25G (ODU2), 80 of 1.25G (ODU4), 20 n of 5G (ODUCn)."""
    return n * SLOTS_PER_ODUC if line is Container.ODUC else LINE_SLOTS[line]


def carries(line: Container, client: Container) -> bool:
    """True where a fixed-rate `client` fits a line: a line carries the smaller ones, or itself (not so ODUCn)."""
    return client in ODUK and line in _SIZES and _SIZES.index(client) <= _SIZES.index(line)


def tributary_slots(client: Container, line: Container) -> int:
    """Slots that a fixed-rate client takes of a line's ODU, in the line's own granularity.

    `ValueError` where the line does not carry it.
    """
    if not carries(line, client):
        raise ValueError(f"{line} does not carry {client}")
    if client is line:
        return LINE_SLOTS[line]
    odu = ODUK[client]
    if (client, line) in _ASYNCHRONOUS:
        return ceil(odu.rate / SLOT_PAYLOAD[line].nominal)
    return slots_of(odu, line)


def slots_of(odu: Odu, line: Container) -> int:
    """Slots for any client that GMP maps: its highest rate into the slots' least (G.709 19.6, RFC 7139 5.1)."""
    return ceil(odu.highest / SLOT_PAYLOAD[line].least)


def gfp_unit(k: Container) -> Fraction:
    """ODUk.ts, kbit/s: what ODUflex(GFP, n, k) counts in; k is the smallest ODUk on its way (G.709 table 7-8)."""
    return SLOT_PAYLOAD[k].nominal * (PPM - GFP_HEADROOM_PPM) / PPM


def oduflex_gfp(n: int, k: Container) -> Odu:
    """ODUflex(GFP, n, k): packets in n units of ODUk.ts."""
    rate = n * gfp_unit(k)
    return Odu(rate, rate * Fraction(238, 239), GFP_TOLERANCE_PPM)


def gfp_slots(n: int, k: Container, line: Container) -> int:
    """Slots that an ODUflex(GFP, n, k) takes of a line: n of an ODUk, fewer of a larger one (RFC 7139 5.2)."""
    return slots_of(oduflex_gfp(n, k), line)
