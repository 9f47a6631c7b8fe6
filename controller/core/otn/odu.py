"""Rates of the optical data units, exact: `Fraction` in kbit/s, tolerances in ppm (G.709 tables 7-2, 7-3, 7-7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from controller.core.model import Container

FRAME_BITS = 4 * 3824 * 8
"""An ODUk frame: four rows of 3824 bytes, of which 3808 are payload."""
PPM = 1_000_000
STM_16, STM_64, STM_256 = Fraction(2_488_320), Fraction(9_953_280), Fraction(39_813_120)
"""The SDH signals that ODU1, ODU2 and ODU3 were made for, kbit/s."""
ODU4_BASE = Fraction(99_532_800)
"""40 x STM-16: what ODU4 and ODUCn are multiples of, kbit/s."""
LAN_10G = Fraction(10_312_500)
"""10GBASE-R on the line, kbit/s."""
FLEXE_UNIT = Fraction(5_156_250)
"""66B blocks of 5G of Ethernet, kbit/s: what ODUflex(IMP, s) counts in."""


@dataclass(frozen=True, slots=True)
class Odu:
    """An optical data unit: nominal rate and OPU payload in kbit/s, tolerance in ppm."""

    rate: Fraction
    payload: Fraction
    tolerance_ppm: int
    frame_bits: int = FRAME_BITS
    """Of all its frames that run in parallel: an ODUCn has n."""

    @property
    def highest(self) -> Fraction:
        """The rate at the upper end of its tolerance."""
        return self.rate * (PPM + self.tolerance_ppm) / PPM

    @property
    def frame_us(self) -> Fraction:
        """Frame period in µs."""
        return self.frame_bits * 1000 / self.rate


def _of_client(overhead: Fraction, payload: Fraction, client: Fraction, tolerance_ppm: int) -> Odu:
    return Odu(overhead * client, payload * client, tolerance_ppm)


def oduc(n: int) -> Odu:
    """ODUCn: n times the ODUC slice of about 105 Gbit/s."""
    return Odu(n * Fraction(239, 226) * ODU4_BASE, n * Fraction(238, 226) * ODU4_BASE, 20, n * FRAME_BITS)


def oduflex_cbr(client_kbps: Fraction, tolerance_ppm: int = 100) -> Odu:
    """ODUflex that carries a constant bit rate client; its tolerance is the client's, at most 100 ppm."""
    return _of_client(Fraction(239, 238), Fraction(1), client_kbps, tolerance_ppm)


def oduflex_imp(s: int) -> Odu:
    """ODUflex(IMP, s), which carries 66B blocks: s = 2 for 10GE, 8 for 40GE, 5 n for n x 25GE."""
    return oduflex_cbr(s * FLEXE_UNIT)


ODU0 = _of_client(Fraction(1), Fraction(238, 239), STM_16 / 2, 20)
ODU1 = _of_client(Fraction(239, 238), Fraction(1), STM_16, 20)
ODU2 = _of_client(Fraction(239, 237), Fraction(238, 237), STM_64, 20)
ODU2E = _of_client(Fraction(239, 237), Fraction(238, 237), LAN_10G, 100)
ODU3 = _of_client(Fraction(239, 236), Fraction(238, 236), STM_256, 20)
ODU4 = _of_client(Fraction(239, 227), Fraction(238, 227), ODU4_BASE, 20)

ODUK: Mapping[Container, Odu] = MappingProxyType(
    {
        Container.ODU0: ODU0,
        Container.ODU1: ODU1,
        Container.ODU2: ODU2,
        Container.ODU3: ODU3,
        Container.ODU4: ODU4,
    }
)
"""The containers of one fixed rate."""


def payload_kbps(container: Container, line_slots: int = 0) -> int:
    """What a container's payload carries, rounded down; of an ODUCn, `line_slots` (20 n) tells the n."""
    odu = oduc(line_slots // 20) if container is Container.ODUC else ODUK[container]
    return int(odu.payload)
