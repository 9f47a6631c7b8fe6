"""An integer program over 0-1 columns, solved by HiGHS: one thread, one seed, no clock, so the same answer always."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import highspy
import numpy as np
from numpy.typing import NDArray

NO_BOUND = float("inf")
_TOLERANCE = 1e-9
_OPTIONS: Mapping[str, bool | int | float | str] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.5,  # costs are whole numbers
    "mip_feasibility_tolerance": _TOLERANCE,
    "primal_feasibility_tolerance": _TOLERANCE,
    "dual_feasibility_tolerance": _TOLERANCE,
}


class End(Enum):
    """How a run ended."""

    OPTIMAL = auto()
    INFEASIBLE = auto()
    GIVEN_UP = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    end: End
    values: NDArray[np.float64] | None
    """Per column, of the best solution found."""
    bound: float
    """No solution costs less."""


class IntegerProgram:
    """Columns and rows as they are added; `minimise` may be called again after more rows."""

    def __init__(self) -> None:
        self.integral: list[bool] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.starts: list[int] = [0]
        self.columns: list[int] = []
        self.coefficients: list[float] = []

    def column(self, *, integral: bool = True) -> int:
        """A new column between 0 and 1; not `integral` where other columns make it so."""
        self.integral.append(integral)
        return len(self.integral) - 1

    def row(self, terms: Mapping[int, float], lower: float = -NO_BOUND, upper: float = NO_BOUND) -> None:
        """`lower` <= sum of coefficient x column <= `upper`."""
        self.columns += terms.keys()
        self.coefficients += terms.values()
        self.starts.append(len(self.columns))
        self.lower.append(lower)
        self.upper.append(upper)

    def minimise(self, cost: Mapping[int, float], max_branches: int) -> Outcome:
        """Least sum of cost x column. Given up after so many nodes of the search tree."""
        solver = highspy.Highs()  # type: ignore[no-untyped-call]
        for option, value in _OPTIONS.items():
            solver.setOptionValue(option, value)
        solver.setOptionValue("mip_max_nodes", max_branches)
        solver.passModel(self._model(cost))
        solver.run()
        status, info = solver.getModelStatus(), solver.getInfo()
        if status == highspy.HighsModelStatus.kInfeasible:
            return Outcome(End.INFEASIBLE, None, NO_BOUND)
        found = info.primal_solution_status == int(highspy.SolutionStatus.kSolutionStatusFeasible)
        values = np.array(solver.getSolution().col_value) if found else None
        end = End.OPTIMAL if status == highspy.HighsModelStatus.kOptimal else End.GIVEN_UP
        return Outcome(end, values, info.mip_dual_bound)

    def _model(self, cost: Mapping[int, float]) -> highspy.HighsLp:
        n, model = len(self.integral), highspy.HighsLp()
        costs = np.zeros(n)
        costs[list(cost)] = list(cost.values())
        model.num_col_, model.num_row_ = n, len(self.lower)
        model.col_cost_, model.col_lower_, model.col_upper_ = costs, np.zeros(n), np.ones(n)
        model.row_lower_, model.row_upper_ = np.array(self.lower), np.array(self.upper)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.array(self.starts, np.int32)
        model.a_matrix_.index_ = np.array(self.columns, np.int32)
        model.a_matrix_.value_ = np.array(self.coefficients, np.float64)
        kinds = highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger
        model.integrality_ = [kinds[each] for each in self.integral]
        return model
