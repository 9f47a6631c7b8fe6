"""Rates and tributary slots of OTN against the published tables, whose figures stand here as they are printed."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model import Container
from controller.core.otn.odu import ODU2E, ODUK, Odu, oduc, oduflex_cbr, oduflex_imp, payload_kbps
from controller.core.otn.rates import (
    FGTS_ETHERNET_BPS,
    FGTS_PER_SERVER,
    fgoduflex_frame_us,
    fgoduflex_kbps,
    fgoduflex_payload_kbps,
    oduflex_fgts,
)
from controller.core.otn.tributary import (
    SLOT_PAYLOAD,
    carries,
    gfp_slots,
    gfp_unit,
    line_slots,
    oduflex_gfp,
    slots_of,
    tributary_slots,
)

ODU0, ODU1, ODU2, ODU3, ODU4, ODUC = (Container(name) for name in ("ODU0", "ODU1", "ODU2", "ODU3", "ODU4", "ODUC"))


def printed(value: Fraction) -> str:
    """With three decimals, as the tables have it."""
    return str((Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.001")))


@pytest.mark.parametrize(
    ("odu", "rate", "tolerance", "payload", "frame_us"),
    [
        (ODUK[ODU0], "1244160.000", 20, "1238954.310", "98.354"),
        (ODUK[ODU1], "2498775.126", 20, "2488320.000", "48.971"),
        (ODUK[ODU2], "10037273.924", 20, "9995276.962", "12.191"),
        (ODU2E, "10399525.316", 100, "10356012.658", "11.767"),
        (ODUK[ODU3], "40319218.983", 20, "40150519.322", "3.035"),
        (ODUK[ODU4], "104794445.815", 20, "104355975.330", "1.168"),
        (oduc(1), "105258138.053", 20, "104817727.434", "1.163"),
        (oduc(4), "421032552.212", 20, "419270909.735", "1.163"),
    ],
)
def test_rates_are_those_of_the_table(odu: Odu, rate: str, tolerance: int, payload: str, frame_us: str) -> None:
    assert (printed(odu.rate), printed(odu.payload), odu.tolerance_ppm) == (rate, payload, tolerance)
    assert printed(odu.frame_us) == frame_us


@given(st.integers(100_000, 100_000_000))
def test_an_oduflex_of_a_constant_rate_carries_just_its_client(kbps: int) -> None:
    odu = oduflex_cbr(Fraction(kbps), 20)
    assert (odu.payload, odu.tolerance_ppm) == (kbps, 20)
    assert odu.rate * 238 == kbps * 239
    assert odu.frame_us == Fraction(121_856_000, kbps)


@pytest.mark.parametrize(("s", "gbps"), [(2, 10), (8, 40), (5, 25), (10, 50), (20, 100)])
def test_an_oduflex_of_66b_blocks_carries_the_ethernet_it_is_for(s: int, gbps: int) -> None:
    assert oduflex_imp(s).payload * 64 / 66 == gbps * 1_000_000
    assert oduflex_imp(s).tolerance_ppm == 100


@pytest.mark.parametrize(
    ("server", "least", "nominal", "most"),
    [
        (ODU2, "1249384.632", "1249409.620", "1249434.608"),
        (ODU3, "1254678.635", "1254703.729", "1254728.823"),
        (ODU4, "1301683.217", "1301709.251", "1301735.285"),
        (ODUC, "5240781.554", "5240886.372", "5240991.189"),
    ],
)
def test_slot_payloads_are_those_of_the_table(server: Container, least: str, nominal: str, most: str) -> None:
    slot = SLOT_PAYLOAD[server]
    assert (printed(slot.least), printed(slot.nominal), printed(slot.most)) == (least, nominal, most)


CLIENTS = {
    ODU0: (1, 1, 1, 1, 1),
    ODU1: (None, 2, 2, 2, 1),
    ODU2: (None, None, 8, 8, 2),
    ODU3: (None, None, None, 31, 8),
    ODU4: (None, None, None, None, 20),
}
SERVERS = (ODU1, ODU2, ODU3, ODU4, ODUC)


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_take_the_slots_of_the_table(client: Container) -> None:
    for server, slots in zip(SERVERS, CLIENTS[client], strict=True):
        if slots is not None:
            assert tributary_slots(client, server) == slots
        elif client is not server:
            assert not carries(server, client)
            with pytest.raises(ValueError, match="does not carry"):
                tributary_slots(client, server)


def test_odu2e_takes_nine_slots_of_an_odu3_and_eight_of_an_odu4() -> None:
    assert [slots_of(ODU2E, server) for server in (ODU3, ODU4, ODUC)] == [9, 8, 2]


def test_what_fills_a_line_takes_all_its_slots() -> None:
    assert [tributary_slots(odu, odu) for odu in (ODU0, ODU1, ODU2, ODU3, ODU4)] == [1, 2, 8, 32, 80]
    assert (line_slots(ODU2), line_slots(ODU4), line_slots(ODUC, 1), line_slots(ODUC, 10)) == (8, 80, 20, 200)
    assert not carries(ODUC, ODUC)
    assert not carries(ODU2, Container.FGODUFLEX)


def test_payloads_of_lines_in_whole_kbps() -> None:
    assert [payload_kbps(odu) for odu in (ODU0, ODU1, ODU2, ODU4)] == [1_238_954, 2_488_320, 9_995_276, 104_355_975]
    assert payload_kbps(ODUC, 60) == 314_453_182


@pytest.mark.parametrize(("k", "unit"), [(ODU2, "1249177.230"), (ODU3, "1254470.354"), (ODU4, "1301467.133")])
def test_units_of_oduflex_gfp_are_those_of_the_table(k: Container, unit: str) -> None:
    assert printed(gfp_unit(k)) == unit


@given(st.integers(1, 80))
def test_an_oduflex_gfp_takes_n_slots_of_its_odu_and_no_more_of_a_larger_one(n: int) -> None:
    """Slot payloads and units typed from the tables, ±100 ppm on the client, the slots' lower limit."""
    least = {ODU2: Fraction("1249384.632"), ODU3: Fraction("1254678.635"), ODU4: Fraction("1301683.217")}
    unit = {ODU2: Fraction("1249177.230"), ODU3: Fraction("1254470.354"), ODU4: Fraction("1301467.133")}
    for k, most in ((ODU2, 8), (ODU3, 32), (ODU4, 80)):
        if n > most:
            continue
        assert gfp_slots(n, k, k) == n
        for server in (each for each in least if least[each] > least[k]):
            assert gfp_slots(n, k, server) == ceil(n * unit[k] * Fraction("1.0001") / least[server]) <= n
    assert gfp_slots(n, ODU4, ODUC) == ceil(Fraction(n, 4))
    assert printed(oduflex_gfp(n, ODU4).payload / n) == "1296021.664"


@given(st.integers(1, 119))
def test_fgoduflex_of_p_slots(p: int) -> None:
    assert fgoduflex_kbps(p) == p * Fraction("10409.203")
    assert abs(fgoduflex_payload_kbps(p) - p * Fraction("10322.097")) < p * Fraction("0.0005")
    assert abs(fgoduflex_payload_kbps(p) * 64 / 66 - p * Fraction("10009.306")) < p * Fraction("0.0005")
    assert abs(fgoduflex_frame_us(p) - Fraction("11755.751") / p) < Fraction("0.001")
    assert fgoduflex_kbps(p) <= ODUK[ODU0].payload


def test_fine_grain_slots_of_each_server() -> None:
    assert FGTS_ETHERNET_BPS == 10_009_306
    assert dict(FGTS_PER_SERVER) == {ODU0: 119, ODU1: 238, ODU2: 952}
    assert [oduflex_fgts(n) for n in range(3, 8)] == [357, 476, 595, 714, 833]
    for n in (2, 8):
        with pytest.raises(ValueError, match="no ODUflex"):
            oduflex_fgts(n)


@pytest.mark.parametrize("server", [ODU0, ODU1, ODU2])
def test_the_fine_grain_slots_of_a_server_fit_its_payload(server: Container) -> None:
    each = ODUK[server].payload / FGTS_PER_SERVER[server]
    assert printed(each) == {ODU0: "10411.381", ODU1: "10455.126", ODU2: "10499.241"}[server]
    assert each > fgoduflex_kbps(1)
