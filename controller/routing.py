"""The routes of the underlay follow the topology, but never before the segment lists that depend on them.

A list forces its path by the routes that it was encoded for. When a link comes, goes or costs otherwise, those that
would leave their path are encoded anew (or their corridors move) under the old and the new routes at once, and then the
routes change. So traffic whose path is cut stops there until it is moved, and never strays to what others reserved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controller.core.graph import Graph
from controller.core.ids import Ids
from controller.core.records import Record
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import ALGORITHMS
from controller.core.segments.standing import Departures
from controller.core.topology import Topology


class Routing:
    """The underlay in force, the one that is to follow, and the corridors that it waits for."""

    def __init__(self, underlay: Underlay) -> None:
        self._let(underlay)
        self.waiting: frozenset[str] = frozenset()

    def follow(self, wanted: Graph, topology: Topology, ids: Ids, records: Iterable[Record]) -> bool:
        """Let routes follow `wanted`, links and metrics: now, or once no list minds. True where they changed now."""
        present, *before = self.underlays
        coming = Underlay.of(wanted, ALGORITHMS)
        if coming.links == present.links:
            self._let(present)
            self.waiting = frozenset()
            return False
        if not before or coming.links != before[0].links:
            self._let(present, coming)
        assert self._departures is not None
        self.waiting = self._departures.corridors(topology, ids, records)
        if not self.waiting:
            self._let(coming)
        return not self.waiting

    def changed(self, records: Sequence[Record], topology: Topology, ids: Ids) -> bool:
        """Corridors stand otherwise, or are gone. True where routes waited, and nothing is waited for any more."""
        if self._departures is not None:
            self.waiting -= {record.name for record in records}
            self.waiting |= self._departures.corridors(topology, ids, records)
        return self._departures is not None and not self.waiting

    def _let(self, *underlays: Underlay) -> None:
        """Be in force, and follow."""
        self.underlays = underlays
        """The one in force, and the one to follow if there is any."""
        present, *coming = underlays
        self._departures = Departures(present, coming[0]) if coming else None
        self.for_plans = (replace(present, graph=coming[0].graph), *coming) if coming else underlays
        """What a new list keeps its path in: the old routes and the new, over the links that are up now. Whether a
        link can be crossed does not depend on whether routes use it."""
