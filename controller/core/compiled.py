"""The one door to numba: kernels are compiled at their first call, once for all runs (cached beside the source)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Machine code for a function over numpy arrays and integers; it lets other threads run meanwhile."""
    return cast(Callable[P, R], njit(cache=True, nogil=True)(function))
