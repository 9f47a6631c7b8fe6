"""A placement in the making: the snapshot it is made on, what stands already, and the ids it takes on the way."""

from __future__ import annotations

from math import ceil

from controller.core import names
from controller.core.errors import Infeasible
from controller.core.graph import Graph
from controller.core.ids import IdKey
from controller.core.latency import budget
from controller.core.model import Corridor, Leg, SegmentList, Slice
from controller.core.otn import Claim, Row, RowKey
from controller.core.paths import Path, Route
from controller.core.records import (
    Placement,
    Record,
    claims_of,
    customer_port_id,
    decapsulation_ids,
    headend_ids,
    vrf_key,
)
from controller.core.segments.sids import Tail
from controller.core.snapshot import Snapshot

Lists = tuple[SegmentList, SegmentList]
"""For IPv6 and for IPv4 customers."""


class Draft:
    """The one mutable thing of planning; it lives for one call of `plan`."""

    def __init__(self, snapshot: Snapshot, before: Record | None, explains: bool = True) -> None:
        self.topology = snapshot.topology
        self.ledger = snapshot.ledger
        self.layers = snapshot.layers
        self.underlays = snapshot.underlays
        self.ids = snapshot.ids
        self.now = snapshot.now
        self.explains = explains
        """Whether a refusal is for somebody to read."""
        self.standing: Placement | None = before.target if before else None
        self._own: dict[RowKey, Claim] = {claim.row: claim for claim in claims_of(before)} if before else {}

    def assign(self, key: IdKey) -> int:
        self.ids = self.ids.assign(key, self.now)
        return self.ids[key]

    def row(self, link: str, server: str, direction: int) -> Row:
        return self.ledger.row(RowKey(link, server, direction))

    def adjacencies(self) -> Graph:
        """The packet layer with room for what this corridor itself holds there: old and new path count once."""
        graph = self.layers.packet
        own = {(row.link, row.direction): claim.kbps for row, claim in self._own.items() if claim.kbps}
        return graph.with_free({key: int(graph.free[graph.arc(*key)]) + kbps for key, kbps in own.items()})

    def end_ids(self, corridor: Corridor) -> int:
        """Assign what both ends need; returns the tenant's VRF id."""
        vrf = self.assign(vrf_key(names.tenant_of_corridor(corridor.name)))
        for end in (corridor.a_end, corridor.z_end):
            port = self.topology.access_port(end.node, end.port)
            assert port is not None, "validated"
            keys = (*headend_ids(end.node, corridor.name), *decapsulation_ids(end.node, vrf))
            for key in (*keys, customer_port_id(end.node, port.port)):
                self.assign(key)
        return vrf

    def tails(self, router: str, vrf: int) -> tuple[Tail, ...]:
        """Where lists end that lead to a VRF: for IPv6 and for IPv4 customers."""
        return tuple(
            Tail(router, self.ids[key], f"{family}({names.short(router)}, vrf {vrf})")
            for key, family in zip(decapsulation_ids(router, vrf), ("uDT6", "uDT4"), strict=True)
        )

    def leg(
        self,
        corridor: Corridor,
        routers: tuple[str, ...],
        route: Route,
        lists: tuple[Lists, Lists],
        part: Slice | None,
        thinnest: int | None,
    ) -> Leg:
        """The leg of this domain, with its latency budget. `lists`: there and back; `thinnest`: slots, None if soft."""
        path = route.path
        (forward, forward_ipv4), (reverse, reverse_ipv4) = lists
        size = corridor.mtu_bytes + max(forward.overhead_bytes, reverse.overhead_bytes)
        self._require_mtu(path, size)
        terms = budget(self.topology, routers, path, size, thinnest)
        return Leg(
            self.topology.domain,
            corridor.max_latency_us,
            routers,
            path.links,
            forward,
            forward_ipv4,
            reverse,
            reverse_ipv4,
            (part,) if part else (),
            terms,
            sum(term.value_us for term in terms),
            route.method,
            ceil(route.gap * 1_000_000),
        )

    def _require_mtu(self, path: Path, size: int) -> None:
        short = [name for name in path.links if self.topology.links[name].mtu_bytes < size]
        if short:
            raise Infeasible(
                f"{short[0]} carries {self.topology.links[short[0]].mtu_bytes} bytes, {size} are needed",
                reason="MTU",
                metadata={"links": ",".join(short), "neededBytes": str(size)},
            )
