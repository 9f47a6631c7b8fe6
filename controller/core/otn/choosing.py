"""Which slices make up the amounts that a linear program gives to routes: whole ones, where it would split them.

A short list is a program in whole numbers. Of a longer one those groups need no choice that are carried entirely on one
route; what is left is such a program again, unless it is long itself: then sizes are so many that subset sums do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import floor

from controller.core.otn.packing import fullest
from controller.core.otn.relaxation import Routes
from controller.core.paths.integer_program import IntegerProgram

Sized = tuple[int, int]
"""(slots, position in the list) of a demand."""
Route = tuple[str, ...]

MAX_COLUMNS = 2_000
"""Of a program in whole numbers: seconds, where more would be minutes."""
MAX_BRANCHES = 20
_ALMOST = 1e-6


def choose(
    groups: Mapping[Routes, Sequence[Sized]], flow: Mapping[Routes, Sequence[float]], room: Mapping[str, int]
) -> dict[int, Route]:
    """The route of each demand that is to be carried, by its position. `room`: free slots of each fibre."""
    if _columns(groups, groups) <= MAX_COLUMNS:
        return _by_program(groups, room)
    chosen: dict[int, Route] = {}
    left, loose = dict(room), list[Routes]()
    for routes, slots in flow.items():
        most = max(range(len(routes)), key=slots.__getitem__)
        if slots[most] < sum(size for size, _ in groups[routes]) - _ALMOST:
            loose.append(routes)
            continue
        for size, each in groups[routes]:
            chosen[each] = routes[most]
            for fibre in routes[most]:
                left[fibre] -= size
    if _columns(groups, loose) <= MAX_COLUMNS:
        return chosen | _by_program({routes: groups[routes] for routes in loose}, left)
    for routes in loose:
        chosen |= dict(_by_sums(groups[routes], flow[routes], routes))
    return chosen


def _columns(groups: Mapping[Routes, Sequence[Sized]], which: Iterable[Routes]) -> int:
    return sum(len(groups[routes]) * len(routes) for routes in which)


def _by_sums(group: Sequence[Sized], flow: Sequence[float], routes: Routes) -> Iterator[tuple[int, Route]]:
    """Slices that make up the flow of each route, as nearly as can be without going above."""
    waiting = sorted(group, reverse=True)
    for slots, route in sorted(zip(flow, routes, strict=True), key=lambda each: -each[0]):
        taken = {waiting[position] for position in fullest([size for size, _ in waiting], floor(slots + _ALMOST))}
        yield from ((each, route) for _, each in sorted(taken))
        waiting = [sized for sized in waiting if sized not in taken]


def _by_program(groups: Mapping[Routes, Sequence[Sized]], room: Mapping[str, int]) -> dict[int, Route]:
    """The most slots in whole slices: best of what the search finds within `MAX_BRANCHES`."""
    program, cost = IntegerProgram(), dict[int, float]()
    fibres: dict[str, dict[int, float]] = defaultdict(dict)
    meaning: dict[int, tuple[int, Route]] = {}
    for routes, group in groups.items():
        for size, each in group:
            columns = {program.column(): route for route in routes}
            program.row(dict.fromkeys(columns, 1.0), upper=1)
            for column, route in columns.items():
                cost[column], meaning[column] = -size, (each, route)
                for fibre in route:
                    fibres[fibre][column] = size
    for fibre, terms in fibres.items():
        program.row(terms, upper=room[fibre])
    values = program.minimise(cost, MAX_BRANCHES).values if cost else None
    if values is None:
        return {}
    return dict(meaning[column] for column in cost if values[column] > 0.5)
