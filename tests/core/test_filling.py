"""Filling as a whole: against brute force where that is possible, against the bound and a recount everywhere."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import chain, combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from controller.core.model import Container, Link, LinkKind
from controller.core.otn import LINE, Claim, Ledger, Row, RowKey, parse_slots
from controller.core.otn.filling import Demand, Filled, fill
from controller.core.otn.packing import fullest, parted
from controller.core.otn.relaxation import PRICE_UNIT, proven, relax
from controller.core.otn.rooms import Room, rooms_of
from controller.core.topology import Topology

FIBRES = ("ab", "bc", "ac")
ROUTES = ((("ab",), ("ac", "bc")), (("bc",), ("ab", "ac")), (("ac",), ("ab", "bc")))
"""A triangle: the direct fibre of each pair, and the way round."""


def empty(*servers: int) -> list[Room]:
    return [Room(f"odu1-{i}", (1 << size) - 1) for i, size in enumerate(servers)]


def demands(*asked: tuple[int, int]) -> list[Demand]:
    return [Demand(f"d{i}", slots, ROUTES[pair]) for i, (pair, slots) in enumerate(asked)]


lists = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 119)), max_size=40)
servers = st.lists(st.integers(0, 250), max_size=4)
networks = st.fixed_dictionaries(dict.fromkeys(FIBRES, servers))


def subsets(sizes: list[int]) -> list[tuple[int, ...]]:
    return list(chain.from_iterable(combinations(range(len(sizes)), n) for n in range(len(sizes) + 1)))


@given(st.lists(st.integers(1, 30), max_size=8), st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_no_subset_is_fuller(sizes: list[int], room: int) -> None:
    sums = {subset: sum(sizes[i] for i in subset) for subset in subsets(sizes)}
    best = max(total for total in sums.values() if total <= room)
    chosen = tuple(fullest(sizes, room))
    assert sums[chosen] == best
    first = max((tuple(i in subset for i in range(len(sizes))) for subset in sums if sums[subset] == best), default=())
    assert tuple(i in chosen for i in range(len(sizes))) == first, "earlier ones are preferred"


@given(st.lists(st.integers(1, 60), max_size=20), st.lists(st.integers(0, 120), max_size=5))
@settings(max_examples=100, deadline=None)
def test_rooms_are_not_overfull_and_what_is_left_out_fits_in_none(sizes: list[int], rooms: list[int]) -> None:
    place = parted(sizes, rooms)
    used = [sum(size for size, at in zip(sizes, place, strict=True) if at == room) for room in range(len(rooms))]
    assert all(taken <= room for taken, room in zip(used, rooms, strict=True))
    left = [room - taken for taken, room in zip(used, rooms, strict=True)]
    assert all(size > max(left, default=0) for size, at in zip(sizes, place, strict=True) if at is None)


@given(lists, networks)
@settings(max_examples=60, deadline=None)
def test_the_bound_is_that_of_the_linear_program_demand_by_demand(
    asked: list[tuple[int, int]], free: dict[str, list[int]]
) -> None:
    grouped: dict[tuple[tuple[str, ...], ...], int] = {}
    for demand in demands(*asked):
        grouped[demand.routes] = grouped.get(demand.routes, 0) + demand.slots
    relaxed = relax(grouped, {fibre: sum(sizes) for fibre, sizes in free.items()})
    assert relaxed.bound == pytest.approx(split(asked, free), abs=1e-5)
    assert relaxed.carried == pytest.approx(relaxed.bound, abs=1e-5)


def split(asked: list[tuple[int, int]], free: dict[str, list[int]]) -> float:
    """The linear program written out: one column per demand and route, in slots."""
    columns = [(i, route) for i, (pair, _) in enumerate(asked) for route in ROUTES[pair]]
    if not columns:
        return 0.0
    rows = [[fibre in route for _, route in columns] for fibre in FIBRES]
    rows += [[each == i for each, _ in columns] for i in range(len(asked))]
    limits = [sum(free[fibre]) for fibre in FIBRES] + [slots for _, slots in asked]
    solved = linprog(-np.ones(len(columns)), A_ub=np.array(rows, float), b_ub=limits, method="highs-ipm")
    return float(-solved.fun)


@given(lists, networks, st.lists(st.integers(0, 2 * PRICE_UNIT), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None)
def test_no_prices_prove_less_than_can_be_carried(
    asked: list[tuple[int, int]], free: dict[str, list[int]], prices: list[int]
) -> None:
    grouped: dict[tuple[tuple[str, ...], ...], int] = {}
    for demand in demands(*asked):
        grouped[demand.routes] = grouped.get(demand.routes, 0) + demand.slots
    total = {fibre: sum(sizes) for fibre, sizes in free.items()}
    bound = proven(grouped, total, dict(zip(FIBRES, prices, strict=True))) / PRICE_UNIT
    assert bound >= split(asked, free) - 1e-5


@given(lists, networks)
@settings(max_examples=60, deadline=None)
def test_a_plan_holds_nothing_twice_and_no_more_than_the_bound(
    asked: list[tuple[int, int]], free: dict[str, list[int]]
) -> None:
    rooms = {fibre: empty(*sizes) for fibre, sizes in free.items()}
    plan = fill(demands(*asked), rooms)
    recount(demands(*asked), rooms, plan)
    assert plan.carried <= plan.bound + 1e-6
    assert plan == fill(demands(*asked), rooms), "the same list gives the same plan"


def recount(asked: list[Demand], rooms: dict[str, list[Room]], plan: Filled) -> None:
    """From the placements alone: on a route of its own, as many slots as asked at each hop, each free and held once."""
    by_name = {demand.name: demand for demand in asked}
    free = {
        (fibre, room.server): {slot + 1 for slot in range(room.free.bit_length()) if room.free >> slot & 1}
        for fibre, each in rooms.items()
        for room in each
    }
    for name, hops in plan.placements.items():
        assert tuple(hop.link for hop in hops) in by_name[name].routes
        for hop in hops:
            numbers = set(parse_slots(hop.slots))
            assert len(numbers) == by_name[name].slots
            assert numbers <= free[hop.link, hop.server]
            free[hop.link, hop.server] -= numbers
    assert plan.carried == sum(by_name[name].slots for name in plan.placements)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=6), st.integers(4, 12))
@settings(max_examples=80, deadline=None)
def test_short_lists_get_the_best_of_all_plans(asked: list[tuple[int, int]], size: int) -> None:
    plan = fill(demands(*asked), {fibre: empty(size) for fibre in FIBRES})
    assert plan.carried == brute_force(asked, size) <= plan.bound + 1e-6


def brute_force(asked: list[tuple[int, int]], size: int) -> int:
    """Every demand refused or on either route, one server per fibre."""
    best = 0
    for ways in product((None, 0, 1), repeat=len(asked)):
        used = dict.fromkeys(FIBRES, 0)
        for (pair, slots), way in zip(asked, ways, strict=True):
            for fibre in ROUTES[pair][way] if way is not None else ():
                used[fibre] += slots
        if max(used.values()) <= size:
            best = max(best, sum(slots for (_, slots), way in zip(asked, ways, strict=True) if way is not None))
    return best


@given(lists, networks)
@settings(max_examples=60, deadline=None)
def test_no_worse_than_one_by_one(asked: list[tuple[int, int]], free: dict[str, list[int]]) -> None:
    """First fit, each into the fullest servers that have room."""
    left = {fibre: list(sizes) for fibre, sizes in free.items()}
    first_fit = 0
    for pair, slots in asked:
        route = next((r for r in ROUTES[pair] if all(max(left[f], default=0) >= slots for f in r)), None)
        first_fit += slots if route else 0
        for fibre in route or ():
            fullest_with_room = min(room for room in left[fibre] if room >= slots)
            left[fibre][left[fibre].index(fullest_with_room)] -= slots
    assert fill(demands(*asked), {fibre: empty(*sizes) for fibre, sizes in free.items()}).carried >= first_fit


RING = 9
WAYS = {
    (a, z): (tuple(f"r{i}" for i in range(a, z)), tuple(f"r{i % RING}" for i in range(z, a + RING)))
    for a, z in combinations(range(RING), 2)
}
"""A ring: both ways round of each pair."""


LARGE, SMALL = (952, 952, 952, 238), (238, 119, 119)
"""Servers of each fibre."""


@pytest.mark.parametrize(
    ("count", "pairs", "sizes"),
    [(400, 36, LARGE), (1_500, 36, LARGE), (3_000, 36, LARGE), (3_000, 4, LARGE), (1_500, 36, SMALL)],
)
def test_half_a_percent_of_the_bound_on_long_lists(count: int, pairs: int, sizes: tuple[int, ...]) -> None:
    """A program for all of it, for what is loose, or subset sums: by how long the list is."""
    chance = random.Random(count)
    routes = sorted(WAYS.values())[:pairs]
    asked = [Demand(f"d{i}", chance.randint(1, 119), chance.choice(routes)) for i in range(count)]
    plan = fill(asked, {f"r{i}": empty(*sizes) for i in range(RING)})
    least = 0.995 if sizes is LARGE else 0.999
    assert least * plan.bound <= plan.carried <= plan.bound + 1e-6


def test_others_move_aside_for_one_that_fits_in_no_one_server() -> None:
    asked = demands((2, 1), (0, 3), (2, 5), (1, 2), (2, 3), (1, 2))
    assert fill(asked, {"ab": empty(5, 5), "bc": empty(3), "ac": empty(2, 4)}).carried == 11


def test_neighbours_come_before_those_who_need_two_fibres() -> None:
    """First come, first served would carry 60 slots of 120."""
    asked = [Demand("long", 60, (("ab", "bc"),)), Demand("near", 60, (("ab",),)), Demand("far", 60, (("bc",),))]
    plan = fill(asked, {"ab": empty(60), "bc": empty(60)})
    assert list(plan.placements) == ["near", "far"]
    assert (plan.carried, plan.bound) == (120, pytest.approx(120))


def test_a_slice_is_never_parted_between_servers() -> None:
    plan = fill([Demand("whole", 119, (("ab",),))], {"ab": empty(100, 100)})
    assert (plan.carried, plan.bound) == (0, pytest.approx(119))


def test_only_free_slots_are_given() -> None:
    plan = fill([Demand("d", 3, (("ab",),))], {"ab": [Room("odu0-1", 0b1011_0100)]})
    assert plan.placements["d"][0].slots == "3,5-6"


@pytest.mark.parametrize("count", [200, 3_000])
def test_servers_are_filled_to_the_brim_where_the_list_is_long(count: int) -> None:
    asked = [Demand(f"d{i}", 1 + i * 37 % 119, (("ab",),)) for i in range(count)]
    plan = fill(asked, {"ab": empty(238, 119, 119, 952)})
    assert plan.carried == 238 + 119 + 119 + 952


def test_rooms_are_what_is_free_both_ways_and_what_can_be_opened() -> None:
    """Slots 1 and 3 are held one way, 2 the other; tributary slots 1 and 2 carry the server, 5 a trail."""
    fibre = Link("ab", LinkKind.FIBRE, "a", "b", line=Container.ODU2, line_slots=8)
    rows = {
        RowKey("ab", LINE, 0): Row(8, 0b0001_0011),
        RowKey("ab", "odu1-1", 0): Row(238, 0b101),
        RowKey("ab", "odu1-1", 1): Row(238, 0b010),
    }
    topology = Topology.planned("d", "fcbb:bb00::/32", [], [fibre])
    standing, *opened = rooms_of(topology, Ledger(rows))["ab"]
    assert standing == Room("odu1-1", (1 << 238) - 1 & ~0b111)
    assert [room.server for room in opened] == ["odu1:3-4", "odu1:6-7", "odu0:8"]
    assert [room.free.bit_count() for room in opened] == [238, 238, 119]
    assert not any(room.stands for room in opened)


def test_what_is_promised_to_bookings_is_no_room() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = {RowKey("ab", LINE, 0): Row(8, 0xFF), RowKey("ab", "odu0-1", 0): Row(119)}
    booked = Claim("later", RowKey("ab", "odu0-1", 0), start=start, slots=100)
    ledger = Ledger(rows).change(frozenset(), frozenset({booked}))
    topology = Topology.planned("d", "fcbb:bb00::/32", [], [Link("ab", LinkKind.FIBRE, "a", "b")])
    assert [room.free.bit_count() for room in rooms_of(topology, ledger)["ab"]] == [19]
