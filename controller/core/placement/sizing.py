"""How large a hard corridor's slice is: what its bandwidth asks for, and what its latency bound asks for beside."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core import srv6
from controller.core.errors import Infeasible
from controller.core.model import Container, Corridor, Reservation
from controller.core.otn import carriage_for, least_slots, wire_kbps


@dataclass(frozen=True, slots=True)
class Size:
    """Of a slice, in slots of its container: the same on every hop, and on the slice that protects it."""

    container: Container
    line: Container
    """An ODUflex: the smallest line that it may run on. Of no account to an fgODUflex."""
    claimed: int
    """Held in the ledger."""
    active: int
    """Of the active profile."""
    least: int
    """Slots below which clocking a packet in breaks the latency bound: no profile has fewer; 1 where that binds not."""
    serialisation_us: int
    """Of the largest packet, into the slots of the thinnest profile."""

    @property
    def unit(self) -> str:
        return "fine-grain slots" if self.container is Container.FGODUFLEX else "tributary slots of the line"


def packet_bytes(corridor: Corridor) -> int:
    """The largest packet of a hard corridor, encapsulated."""
    return corridor.mtu_bytes + srv6.overhead_bytes(1)


def size_of(corridor: Corridor, line: Container, budget_us: int | None = None) -> Size:
    """The container for the largest profile, and its slots. `Infeasible`: no container is large enough.

    `budget_us`: what clocking a packet in may take; None: as long as the bandwidth's slots need.
    """
    packet = packet_bytes(corridor)
    fine = 1 if budget_us is None else least_slots(packet, budget_us)
    if fine is None:
        raise Infeasible("no time is left to clock a packet in", reason="LATENCY_BOUND")
    rates = {each.name: _wire_kbps(corridor, each.bandwidth_kbps) for each in corridor.profiles}
    carriage = carriage_for(max(rates.values()), line, fine)
    least = 1 if budget_us is None else carriage.least_slots(packet, budget_us) or 1
    slots = {name: max(least, carriage.slots_for(kbps)) for name, kbps in rates.items()}
    active = slots[corridor.active_profile]
    claimed = max(slots.values()) if corridor.reservation is Reservation.PEAK else active
    thinnest = carriage.serialisation_us(packet, min(slots.values()))
    return Size(carriage.container, line, claimed, active, least, thinnest)


def _wire_kbps(corridor: Corridor, kbps: int) -> int:
    return wire_kbps(kbps, corridor.reference_packet_bytes, srv6.overhead_bytes(1))
