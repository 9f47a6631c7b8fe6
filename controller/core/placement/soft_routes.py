"""What the packet layer has for one soft corridor: which adjacencies it may use, and what stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from controller.core.admission import active, peak, reverse_of
from controller.core.errors import Infeasible
from controller.core.graph import Graph, Objective
from controller.core.latency import delay_left
from controller.core.maintenance import ends_of
from controller.core.model import BackupPath, Corridor, Isolation, Leg, Protection, Reservation
from controller.core.otn import wire_kbps
from controller.core.path_constraints import search_constraints
from controller.core.paths import Constraints, Method, Path, Route, Terms, find, follow, holds, keeps, require
from controller.core.placement.draft import Draft
from controller.core.watched import PROBES_KBPS


def claimed_kbps(corridor: Corridor, overhead: int) -> tuple[int, int]:
    """(A to Z, Z to A) wire rates that the ledger holds; of a protected soft corridor, with its probes."""
    rates = peak(corridor) if corridor.reservation is Reservation.PEAK else active(corridor)
    packet = corridor.reference_packet_bytes
    probed = corridor.protection is Protection.PROTECT and corridor.isolation is Isolation.SOFT
    probes = PROBES_KBPS if probed else 0
    return (
        wire_kbps(rates.bandwidth_kbps, packet, overhead) + probes,
        wire_kbps(reverse_of(rates), packet, overhead) + probes,
    )


@dataclass(frozen=True)
class SoftRoutes:
    """For lists of one size; lives within one call of `plan`."""

    draft: Draft
    corridor: Corridor
    graph: Graph
    """Adjacencies, clocking counted; what the corridor itself holds there counts as free."""
    wanted: Constraints
    narrow: frozenset[str]
    """Routers that do not forward its packets."""
    size: int
    """Bytes of the largest packet, encapsulated."""
    fixed_us: int
    """At both ends."""

    @classmethod
    def of(cls, draft: Draft, corridor: Corridor, overhead: int) -> SoftRoutes:
        """`overhead`: bytes around a customer's packet. `Infeasible` (MTU) where no choice of path would help."""
        forward, reverse = claimed_kbps(corridor, overhead)
        size = corridor.mtu_bytes + overhead
        draft.require_ends(corridor, size)
        narrow = draft.narrow(corridor, size)
        fixed = sum(draft.topology.nodes[end.node].processing_us for end in (corridor.a_end, corridor.z_end))
        wanted = search_constraints(
            corridor,
            draft.topology,
            demand=forward,
            reverse_demand=reverse,
            mtu_bytes=size,
            max_delay_us=delay_left(corridor, fixed),
        )
        if asked := wanted.include_nodes & narrow:
            raise draft.too_narrow(sorted(asked), size)
        return cls(draft, corridor, draft.adjacencies().clocked(size), wanted, narrow, size, fixed)

    @property
    def ends(self) -> tuple[str, str]:
        return self.corridor.a_end.node, self.corridor.z_end.node

    @property
    def objective(self) -> Objective:
        return self.corridor.path_constraints.objective

    @property
    def terms(self) -> Terms:
        return Terms("kbit/s", self.fixed_us, self.corridor.max_latency_us)

    @cached_property
    def constraints(self) -> Constraints:
        """With what is too narrow left out."""
        return replace(self.wanted, exclude_nodes=self.wanted.exclude_nodes | self.narrow)

    @cached_property
    def spared(self) -> frozenset[str]:
        """What every path between these ends depends on."""
        return ends_of(self.draft.topology, self.ends)

    def single(self) -> Route:
        """The path it is on, where that still serves: a new bandwidth is no reason to move. Else the best one."""
        kept = self.standing
        try:
            return kept or require(
                self.graph, *self.ends, self.constraints, self.terms, self.objective, explained=self.draft.explains
            )
        except Infeasible:
            if self.draft.explains and self.narrow:
                other = find(self.graph, *self.ends, self.wanted, self.objective)
                if other is not None:
                    passed = (name for name in other.path.nodes if name in self.narrow)
                    raise self.draft.too_narrow(passed, self.size) from None
            raise

    @cached_property
    def standing(self) -> Route | None:
        """The path that it is on, where that still serves."""
        return self._serving(self._leg)

    @cached_property
    def standing_backup(self) -> Route | None:
        """The path that stands in for it, where that still serves."""
        return self._serving(self._leg.backup if self._leg else None)

    @property
    def _leg(self) -> Leg | None:
        """What stands over adjacencies between these very ends."""
        stood = self.draft.standing
        if stood is None or stood.slice is not None or (stood.a_end.node, stood.z_end.node) != self.ends:
            return None
        return stood.leg

    def _serving(self, leg: Leg | BackupPath | None) -> Route | None:
        if leg is None:
            return None
        path: Path = follow(self.graph, self.ends[0], leg.links)
        serves = holds(self.graph, path, self.constraints) and keeps(self.graph, path, self.constraints)
        return Route(path, 0, Method.KEPT) if serves else None
