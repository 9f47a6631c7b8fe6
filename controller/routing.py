"""The routes of the underlay follow the topology, but never before the segment lists that depend on them.

A list forces its path by the routes that it was encoded for. When a link comes or goes, those that would leave their
path are encoded anew (or their corridors move) under the old and the new routes at once, and then the routes change. So
traffic whose path is cut stops there until it is moved: it never strays to what is reserved for others.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller.core.graph import CLOSED, Graph
from controller.core.ids import Ids
from controller.core.records import Record
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import ALGORITHMS
from controller.core.segments.standing import leaving_corridors
from controller.core.topology import Topology


class Routing:
    """The underlay in force, the one that is to follow, and the corridors that it waits for."""

    def __init__(self, underlay: Underlay) -> None:
        self.underlays: tuple[Underlay, ...] = (underlay,)
        """The one in force, and the one to follow if there is any: a new list keeps its path in each."""
        self.waiting: frozenset[str] = frozenset()

    @property
    def links(self) -> frozenset[str]:
        """The adjacencies that carry routes now."""
        graph = self.underlays[0].graph
        return frozenset(name for name in graph.shape.links if graph.is_open(name))

    def follow(self, wanted: Graph, topology: Topology, ids: Ids, records: Iterable[Record]) -> bool:
        """Let routes run over the open links of `wanted`, now or once no list minds. True where they changed now."""
        present = self.underlays[0]
        if _alike(present.graph, wanted):
            self.underlays, self.waiting = (present,), frozenset()
            return False
        coming = Underlay.of(wanted, ALGORITHMS)
        self.waiting = leaving_corridors(topology, ids, records, present, coming)
        self.underlays = (present, coming) if self.waiting else (coming,)
        return not self.waiting

    def changed(self, record: Record, topology: Topology, ids: Ids) -> bool:
        """A corridor that was waited for stands otherwise, or is gone. True where nothing is waited for any more."""
        if record.name in self.waiting:
            self.waiting -= {record.name}
            self.waiting |= leaving_corridors(topology, ids, (record,), *self.underlays)
        return len(self.underlays) > 1 and not self.waiting


def _alike(one: Graph, other: Graph) -> bool:
    return bool(((one.room == CLOSED) == (other.room == CLOSED)).all())
