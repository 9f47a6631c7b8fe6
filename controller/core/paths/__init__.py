"""Paths: the constrained search, what it answers, and why there is none."""

from controller.core.model import Method
from controller.core.paths.admissible import holds
from controller.core.paths.both_ways import both_ways
from controller.core.paths.bulk import Book, restore
from controller.core.paths.disjoint import disjoint_pair
from controller.core.paths.find import find
from controller.core.paths.pair import Diversity, Pair
from controller.core.paths.path import NONE, Constraints, Path, Route, follow
from controller.core.paths.ranking import ranked
from controller.core.paths.refusal import Terms, explain, require
from controller.core.paths.reports import delays, nearest
from controller.core.paths.sums import keeps

__all__ = [
    "NONE",
    "Book",
    "Constraints",
    "Diversity",
    "Method",
    "Pair",
    "Path",
    "Route",
    "Terms",
    "both_ways",
    "delays",
    "disjoint_pair",
    "explain",
    "find",
    "follow",
    "holds",
    "keeps",
    "nearest",
    "ranked",
    "require",
    "restore",
]
