"""Paths: the constrained search, what it answers, and why there is none."""

from controller.core.paths.admissible import holds
from controller.core.paths.find import find, keeps
from controller.core.paths.path import NONE, Constraints, Method, Path, Route, follow
from controller.core.paths.refusal import Terms, explain, require

__all__ = [
    "NONE",
    "Constraints",
    "Method",
    "Path",
    "Route",
    "Terms",
    "explain",
    "find",
    "follow",
    "holds",
    "keeps",
    "require",
]
