"""Which container carries a slice, by its size and by the latency that clocking into it costs.

Up to 119 fine-grain slots an fgODUflex, above an ODUflex(GFP, n, k) in tributary slots of the line. The container is
chosen once, for the largest size a slice may take: switching profiles changes its count of slots, nothing else.

What an ODUflex slot carries is its payload at the lower end of its tolerance, counted as bits on an Ethernet wire.
That is safe: GFP-F drops preamble and gap (20 bytes a frame) and adds 8 of its own (G.7041), so a stream never needs
more of it than of the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from controller.core.errors import Infeasible
from controller.core.model import Container
from controller.core.otn.odu import PPM
from controller.core.otn.rates import (
    FGTS_ETHERNET_BPS,
    MAX_FGTS_PER_SLICE,
    least_slots,
    serialisation_us,
    slots_for,
    slots_rate_kbps,
)
from controller.core.otn.tributary import GFP_TOLERANCE_PPM, oduflex_gfp

LINES = (Container.ODU2, Container.ODU3, Container.ODU4, Container.ODUC)
"""Kinds of lines, from the narrowest slots to the widest."""
GFP_UNITS: Mapping[Container, tuple[Container, int]] = MappingProxyType(
    {
        Container.ODU2: (Container.ODU2, 1),
        Container.ODU3: (Container.ODU3, 1),
        Container.ODU4: (Container.ODU4, 1),
        Container.ODUC: (Container.ODU4, 4),
    }
)
"""Per line: the ODUk whose unit an ODUflex(GFP) counts in, and how many units one slot of the line carries."""
MAX_GFP_SLOTS: Mapping[Container, int] = MappingProxyType(
    {Container.ODU2: 8, Container.ODU3: 32, Container.ODU4: 80, Container.ODUC: 20}
)
"""ODUflex(GFP, n, k) has n up to 80 (G.709 table 7-8): 20 slots of 5G."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """How a slice is carried: the container, a count of its slots, and what each of them carries."""

    container: Container
    slots: int
    slot_bps: int
    """Ethernet on the wire, bit/s."""

    def slots_for(self, rate_kbps: int) -> int:
        """Slots of the same container for a (smaller) wire rate; at least one."""
        return slots_for(rate_kbps, self.slot_bps)

    def rate_kbps(self, slots: int) -> int:
        """Wire rate of so many slots, rounded down."""
        return slots_rate_kbps(slots, self.slot_bps)

    def serialisation_us(self, packet_bytes: int, slots: int) -> int:
        """Time to clock a packet into so many slots, rounded up."""
        return serialisation_us(packet_bytes, slots, self.slot_bps)

    def least_slots(self, packet_bytes: int, budget_us: int) -> int | None:
        """The fewest slots that clock a packet in within the budget; None where none do."""
        return least_slots(packet_bytes, budget_us, self.slot_bps)


def narrowest(lines: Iterable[Container]) -> Container:
    """Of the lines on a route that with the smallest slots: they are what an ODUflex counts in on all of them.

    Of no line ODU2, the default of a fibre.
    """
    return min(lines, key=LINES.index, default=Container.ODU2)


def slot_bps(container: Container, line: Container = Container.ODU2) -> int:
    """Ethernet that one slot of a slice carries, bit/s.

    `line`: of the fibres that an ODUflex runs on the narrowest; it is of no account to an fgODUflex.
    """
    if container is Container.FGODUFLEX:
        return FGTS_ETHERNET_BPS
    if container is not Container.ODUFLEX:
        raise ValueError(f"a slice is no {container}")
    k, units = GFP_UNITS[line]
    return int(oduflex_gfp(units, k).payload * Fraction(PPM - GFP_TOLERANCE_PPM, PPM) * 1000)


def carriage_for(rate_kbps: int, line: Container = Container.ODU2, least: int = 1) -> Carriage:
    """The container for the largest wire rate that a slice may take, in as few slots as that needs.

    `least`: fine-grain slots that a latency bound asks for beside (`least_slots`): a bound that even 119 do not meet
    moves the slice into an ODUflex. Raises `Infeasible` (CONTAINER_TOO_SMALL) beyond what the line has slots for.
    """
    fine = max(least, slots_for(rate_kbps, FGTS_ETHERNET_BPS))
    if fine <= MAX_FGTS_PER_SLICE:
        return Carriage(Container.FGODUFLEX, fine, FGTS_ETHERNET_BPS)
    each = slot_bps(Container.ODUFLEX, line)
    slots = max(slots_for(rate_kbps, each), -(-least * FGTS_ETHERNET_BPS // each))
    if slots > MAX_GFP_SLOTS[line]:
        raise _too_large(slots, MAX_GFP_SLOTS[line], f"tributary slots are more than an ODUflex(GFP) on {line} has")
    return Carriage(Container.ODUFLEX, slots, each)


def _too_large(slots: int, most: int, text: str) -> Infeasible:
    return Infeasible(
        f"{slots} {text} ({most})",
        reason="CONTAINER_TOO_SMALL",
        metadata={"slots": str(slots), "maxSlots": str(most)},
    )
