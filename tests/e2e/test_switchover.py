"""Fibres of the working route cut under traffic: the line cards switch over, and the traffic hardly notices."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import outages
import pytest
from line_cards import all_watched, selectors
from outages import PROMISE_MS
from places import ADDRESS, SG, SY, Make, body

from topologies.lab import Lab
from topologies.system import Controller, wait_for
from topologies.traffic import Flow, Load, await_ping

CUTS = 20
WORKING = ("F-sg-zgc", "F-zgc-cp", "F-cp-sy")
ENDS = ("sg-o", "sy-o")


def on_working(lab: Lab) -> bool:
    return not any(each.on_protection for each in selectors(lab, *ENDS).values())


def all_is_well(lab: Lab, controller: Controller) -> bool:
    return all_watched(lab, *ENDS) and controller.get("protected")["state"] == "UP"


def outage_ms(lab: Lab, fibre: str, there: bool) -> float | None:
    source, sink = (SG, SY) if there else (SY, SG)
    return outages.outage_ms(lab, source, sink, ADDRESS[sink][1], fibre, lambda: on_working(lab))


@pytest.fixture
def protected(lab: Lab, controller: Controller, corridor: Make) -> dict[str, Any]:
    made = corridor("protected", body(SG, SY, only=20) | {"protection": "PROTECT"})
    assert tuple(link.rpartition("/")[2] for link in made["legs"][0]["links"]) == WORKING
    assert [part["role"] for part in made["legs"][0]["slices"]] == ["WORKING", "PROTECTION"]
    await_ping(lab, SG, ADDRESS[SY][1])
    wait_for("both slices watched", lambda: all_is_well(lab, controller))
    return made


@pytest.mark.timeout(400)
def test_twenty_cuts(
    lab: Lab,
    controller: Controller,
    protected: dict[str, Any],
    fibres: list[str],
    record_property: Callable[[str, object], None],
) -> None:
    """First, middle and last fibres in turn, traffic one way and the other; each is mended, and reverted from."""

    def cut(number: int) -> float | None:
        fibre = WORKING[number % 3]
        fibres.append(fibre)
        outage = outage_ms(lab, fibre, there=number % 2 == 0)
        assert outage is None or all(each.on_protection for each in selectors(lab, *ENDS).values())
        lab.mend(fibre)
        fibres.remove(fibre)
        wait_for("traffic is back on the working slice", lambda: all_is_well(lab, controller), 30)
        return outage

    found = outages.of_cuts(CUTS, cut)
    now = controller.settled("protected")
    assert now["legs"][0]["slices"] == protected["legs"][0]["slices"]  # nobody has moved it meanwhile
    for name, figure in found.figures.items():
        record_property(name, figure)
    print(found)
    assert max(found.outages) < PROMISE_MS, found
    assert statistics.median(found.outages) > 0  # they were cut indeed


def test_reverting_reorders_at_most(
    lab: Lab, controller: Controller, protected: dict[str, Any], fibres: list[str]
) -> None:
    """Both slices carry while the selector moves back: what is under way on either arrives."""
    fibres.append(WORKING[1])
    lab.cut(WORKING[1])
    wait_for("switched over", lambda: all(each.on_protection for each in selectors(lab, *ENDS).values()))
    flow = Flow(lab, SG, SY, ADDRESS[SY][1], Load(4_000, ip_bytes=200, seconds=8))
    lab.mend(WORKING[1])
    fibres.remove(WORKING[1])
    wait_for("traffic is back on the working slice", lambda: all_is_well(lab, controller), 30)
    got = flow.result()
    assert (got["lost"], got["duplicated"]) == (0, 0)


def test_a_protected_slice_is_resized_with_its_protection(
    lab: Lab, controller: Controller, protected: dict[str, Any]
) -> None:
    flow = Flow(lab, SG, SY, ADDRESS[SY][1], Load(4_000, ip_bytes=200, seconds=3))
    for kbps in (50_000, 20_000, 60_000):
        controller.patch("protected", {"profiles": [{"name": "only", "bandwidthKbps": kbps}]})
        sizes = {part["activeSlots"] for part in controller.settled("protected")["legs"][0]["slices"]}
        assert sizes == {{20_000: 3, 50_000: 6, 60_000: 7}[kbps]}
    assert flow.result()["lost"] == 0
