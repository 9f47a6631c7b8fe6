"""Containers by size and latency, against arithmetic on figures typed from the tables."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.errors import Infeasible
from controller.core.model import Container
from controller.core.otn import Carriage, carriage_for, least_slots, serialisation_us, slot_bps, slots_rate_kbps

FGTS_BPS = 10_009_306
GFP_BPS = {
    Container.ODU2: Fraction("1249177230") * Fraction(238, 239) * Fraction("0.9999"),
    Container.ODU4: Fraction("1301467133") * Fraction(238, 239) * Fraction("0.9999"),
    Container.ODUC: 4 * Fraction("1301467133") * Fraction(238, 239) * Fraction("0.9999"),
}
MOST = {Container.ODU2: 8, Container.ODU4: 80, Container.ODUC: 20}
LINES = st.sampled_from(list(MOST))


@given(st.integers(1, 1_191_107), LINES, st.integers(1, 119))
def test_up_to_119_slots_it_is_an_fgoduflex(kbps: int, line: Container, least: int) -> None:
    slots = max(least, ceil(Fraction(kbps * 1000, FGTS_BPS)))
    assert carriage_for(kbps, line, least) == Carriage(Container.FGODUFLEX, slots, FGTS_BPS)


@given(st.integers(1_191_108, 120_000_000), LINES)
def test_above_it_is_an_oduflex_in_slots_of_the_line(kbps: int, line: Container) -> None:
    each = GFP_BPS[line]
    assert abs(slot_bps(Container.ODUFLEX, line) - each) < 5
    slots = ceil(kbps * 1000 / each)
    edge = abs(kbps * 1000 / each - round(kbps * 1000 / each)) < Fraction(1, 1_000_000)
    if edge:
        return
    if slots > MOST[line]:
        with pytest.raises(Infeasible) as refusal:
            carriage_for(kbps, line)
        assert refusal.value.reason == "CONTAINER_TOO_SMALL"
        assert refusal.value.metadata == {"slots": str(slots), "maxSlots": str(MOST[line])}
        return
    carriage = carriage_for(kbps, line)
    assert (carriage.container, carriage.slots) == (Container.ODUFLEX, slots)
    assert carriage.rate_kbps(slots) >= kbps > carriage.rate_kbps(slots - 1)


def test_the_border_between_both() -> None:
    assert carriage_for(1_191_107).container is Container.FGODUFLEX
    assert carriage_for(1_191_108) == Carriage(Container.ODUFLEX, 1, 1_243_826_152)
    assert carriage_for(9_000_000) == Carriage(Container.ODUFLEX, 8, 1_243_826_152)
    assert carriage_for(90_000_000, Container.ODU4).slots == 70  # 90 / 1.295 892
    assert carriage_for(90_000_000, Container.ODUC).slots == 18


@given(st.integers(64, 9000), st.integers(9, 400))
def test_what_a_slot_is_said_to_carry_its_payload_does_carry_in_gfp_frames(packet: int, frames: int) -> None:
    """`frames` of Ethernet with preamble and gap in the bits of a slot: as GFP-F frames they need no more payload."""
    ethernet = packet + 18
    on_the_wire, in_gfp = (ethernet + 20) * 8 * frames, (ethernet + 8) * 8 * frames
    seconds = Fraction(on_the_wire, slot_bps(Container.ODUFLEX, Container.ODU2))
    payload = Fraction("1249177230") * Fraction(238, 239) * Fraction("0.9999")
    assert in_gfp <= payload * seconds


@given(st.integers(1, 9_000_000), st.integers(1, 9_000_000))
def test_a_smaller_profile_stays_in_the_container_of_the_largest(one: int, other: int) -> None:
    carriage = carriage_for(max(one, other))
    slots = carriage.slots_for(min(one, other))
    assert 1 <= slots <= carriage.slots
    assert slots_rate_kbps(slots, carriage.slot_bps) >= min(one, other)
    assert slots == 1 or carriage.rate_kbps(slots - 1) < min(one, other)


@given(st.integers(64, 9100), st.integers(1, 20_000))
def test_the_least_slots_for_a_budget_are_the_first_that_meet_it(packet: int, budget_us: int) -> None:
    least = least_slots(packet, budget_us)
    assert least is not None
    assert serialisation_us(packet, least) <= budget_us
    assert least == 1 or serialisation_us(packet, least - 1) > budget_us
    assert Fraction(packet * 8, least * FGTS_BPS) * 1_000_000 <= budget_us


def test_known_budgets() -> None:
    assert [least_slots(1500, us) for us in (1199, 1198, 120, 12, 10)] == [1, 2, 10, 100, 120]
    assert least_slots(1500, 0) is None
    assert least_slots(1500, -3) is None


def test_a_bound_that_no_fgoduflex_meets_moves_the_slice_into_an_oduflex() -> None:
    thin = least_slots(1540, 10)
    assert thin == 124
    carriage = carriage_for(20_000, Container.ODU2, thin)
    assert carriage == Carriage(Container.ODUFLEX, 1, 1_243_826_152)
    assert carriage.serialisation_us(1540, 1) == 10
    assert carriage.least_slots(1540, 10) == 1
    assert carriage.least_slots(1540, 4) == 3


def test_only_two_containers_are_slices() -> None:
    assert slot_bps(Container.FGODUFLEX, Container.ODUC) == FGTS_BPS
    with pytest.raises(ValueError, match="no ODU1"):
        slot_bps(Container.ODU1)
