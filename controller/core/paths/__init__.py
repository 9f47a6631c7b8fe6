"""Paths: the constrained search, what it answers, and why there is none."""

from controller.core.paths.find import find
from controller.core.paths.path import NONE, Constraints, Method, Path, Route

__all__ = ["NONE", "Constraints", "Method", "Path", "Route", "find"]
