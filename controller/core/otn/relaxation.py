"""How much of a list of demands a network can carry if they may be split: a linear program, and its proof.

No plan carries more than `bound`, which follows from the prices alone (weak duality): a slot of a fibre at its price
for each slot there is, and for each group of demands what its cheapest route earns beyond its price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import highspy
import numpy as np

Routes = tuple[tuple[str, ...], ...]
"""The routes that a demand may take, as the fibres of each."""

PRICE_UNIT = 1 << 32
"""Prices are whole numbers of its parts, so that the bound is worked out without rounding."""
_OPTIONS: Mapping[str, bool | int | str] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "random_seed": 0,
    "solver": "simplex",  # a corner: few groups are parted among routes
}


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The best split, as the solver gave it."""

    carried: float
    """Slots, summed over demands."""
    bound: float
    """Proven from the prices: at least what any plan carries. Equal to `carried` but for rounding: it is optimal."""
    flow: Mapping[Routes, tuple[float, ...]]
    """Slots on each route of each group; groups that get nothing are left out."""


def relax(asked: Mapping[Routes, int], room: Mapping[str, int]) -> Relaxed:
    """The most slots of `asked` (sum of the demands with these routes) that fit into `room` (free slots per fibre)."""
    groups, fibres = list(asked), {fibre: row for row, fibre in enumerate(room)}
    columns = [(group, route) for group, routes in enumerate(groups) for route in routes]
    if not columns:
        return Relaxed(0.0, 0.0, {})
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in _OPTIONS.items():
        solver.setOptionValue(option, value)
    solver.passModel(_model(columns, list(asked.values()), fibres, list(room.values())))
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise ArithmeticError(f"filling: {solver.modelStatusToString(solver.getModelStatus())}")
    solution = solver.getSolution()
    prices = [max(0, round(-dual * PRICE_UNIT)) for dual in solution.row_dual[: len(room)]]
    bound = proven(asked, room, dict(zip(room, prices, strict=True)))
    shares: dict[Routes, tuple[float, ...]] = dict.fromkeys(groups, ())
    for (group, _), slots in zip(columns, solution.col_value, strict=True):
        shares[groups[group]] += (slots,)
    flow = {routes: slots for routes, slots in shares.items() if any(slots)}
    return Relaxed(-solver.getInfo().objective_function_value, bound / PRICE_UNIT, flow)


def proven(asked: Mapping[Routes, int], room: Mapping[str, int], prices: Mapping[str, int]) -> int:
    """An upper bound on what fits, in parts of `PRICE_UNIT`, for any prices of a slot that are not negative."""
    sold = sum(slots * prices[fibre] for fibre, slots in room.items())
    for routes, slots in asked.items():
        cheapest = min((sum(prices[fibre] for fibre in route) for route in routes), default=PRICE_UNIT)
        sold += slots * max(0, PRICE_UNIT - cheapest)
    return sold


def _model(
    columns: Sequence[tuple[int, tuple[str, ...]]], asked: Sequence[int], fibres: Mapping[str, int], room: Sequence[int]
) -> highspy.HighsLp:
    """One column for each route of a group; rows: slots of each fibre, then of each group."""
    model = highspy.HighsLp()
    rows = [[fibres[fibre] for fibre in route] + [len(room) + group] for group, route in columns]
    upper = np.array([*room, *asked], np.float64)
    model.num_col_, model.num_row_ = len(columns), len(upper)
    model.col_cost_, model.col_lower_ = -np.ones(len(columns)), np.zeros(len(columns))
    model.col_upper_ = np.full(len(columns), highspy.kHighsInf)
    model.row_lower_, model.row_upper_ = np.full(len(upper), -highspy.kHighsInf), upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    model.a_matrix_.index_ = np.array([row for column in rows for row in column], np.int32)
    model.a_matrix_.value_ = np.ones(len(model.a_matrix_.index_))
    return model
