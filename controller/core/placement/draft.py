"""A placement in the making: the snapshot it is made on, what stands already, and the ids it takes on the way."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from controller.core import names
from controller.core.errors import Infeasible
from controller.core.graph import Graph
from controller.core.ids import IdKey
from controller.core.latency import budget
from controller.core.model import Container, Corridor, Leg, Protection, SegmentList, Slice, Status
from controller.core.otn import LINES, Claim, RowKey
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
        self.encoder = snapshot.encoder
        self.ids = snapshot.ids
        self.now = snapshot.now
        self.explains = explains
        """Whether a refusal is for somebody to read."""
        self.standing: Placement | None = before.target if before else None
        self._was_protected = before is not None and before.corridor.protection is Protection.PROTECT
        self._own: dict[RowKey, Claim] = {claim.row: claim for claim in claims_of(before)} if before else {}

    def assign(self, key: IdKey) -> int:
        self.ids = self.ids.assign(key, self.now)
        return self.ids[key]

    @property
    def unprotected_by_failure(self) -> bool:
        """Its promise of protection is broken already, by a failure: a change need not wait for the repair."""
        if self.standing is None or not self._was_protected:
            return False
        leg = self.standing.leg
        if leg.slices:
            links = [hop.link for part in leg.slices for hop in part.hops]
        else:
            links = [*leg.links, *(leg.backup.links if leg.backup else ())]
        whole = all(self.topology.links[name].status is not Status.DOWN for name in links)
        return (self.standing.protection is None and leg.backup is None) or not whole

    def adjacencies(self) -> Graph:
        """The packet layer with room for what this corridor itself holds there: old and new path count once."""
        graph = self.layers.packet
        own = {(row.link, row.direction): claim.kbps for row, claim in self._own.items() if claim.kbps}
        return graph.with_free({key: int(graph.free[graph.arc(*key)]) + kbps for key, kbps in own.items()})

    def tributaries(self, smallest: Container) -> Graph:
        """The optical layer with room in tributary slots of the lines; smaller lines than `smallest` are closed."""
        small = LINES[: LINES.index(smallest)]
        fibres = (self.topology.links[name] for name in self.layers.lines.shape.links)
        return self.layers.lines.opened({link.name: False for link in fibres if link.line in small})

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
        parts: tuple[Slice, ...] = (),
        serialisation_us: int | None = None,
        protection: Path | None = None,
    ) -> Leg:
        """The leg of this domain, with its latency budget: of the slower route, where there are two.

        `lists`: there and back; `serialisation_us`: into its slices, None if soft.
        """
        path = route.path
        slower = max(filter(None, (path, protection)), key=lambda each: each.delay_us)
        (forward, forward_ipv4), (reverse, reverse_ipv4) = lists
        size = corridor.mtu_bytes + max(forward.overhead_bytes, reverse.overhead_bytes)
        self._require_mtu(path, size)
        terms = budget(self.topology, routers, slower, size, serialisation_us)
        return Leg(
            self.topology.domain,
            corridor.max_latency_us,
            routers,
            path.links,
            forward,
            forward_ipv4,
            reverse,
            reverse_ipv4,
            parts,
            terms,
            sum(term.value_us for term in terms),
            route.method,
            ceil(route.gap * 1_000_000),
        )

    def narrow(self, corridor: Corridor, size: int) -> frozenset[str]:
        """Routers that do not forward its packets of so many bytes.

        Not the ends on which it stands with packets as large: whatever has become of them, no change helps that.
        """
        narrow = frozenset(node.name for node in self.topology.routers if node.capabilities.mtu_bytes < size)
        stood = self.standing
        if stood is None or stood.mtu_bytes < corridor.mtu_bytes:
            return narrow
        ends = {corridor.a_end.node, corridor.z_end.node}
        return narrow - ends.intersection((stood.a_end.node, stood.z_end.node))

    def too_narrow(self, routers: Iterable[str], size: int) -> Infeasible:
        """The refusal of a packet size by these routers."""
        mtus = {name: self.topology.nodes[name].capabilities.mtu_bytes for name in routers}
        figures = ", ".join(f"{name} forwards {mtu} bytes" for name, mtu in mtus.items())
        return Infeasible(
            f"{figures}, {size} are needed: the corridor's mtu_bytes and what encapsulation adds",
            reason="MTU",
            metadata={"nodes": ",".join(mtus), "mtuBytes": str(min(mtus.values())), "neededBytes": str(size)},
        )

    def require_ends(self, corridor: Corridor, size: int) -> None:
        """Both ends forward packets of so many bytes; `Infeasible` (MTU) else: no choice of path would help."""
        narrow = self.narrow(corridor, size)
        ends = [end.node for end in (corridor.a_end, corridor.z_end) if end.node in narrow]
        if ends:
            raise self.too_narrow(ends, size)

    def _require_mtu(self, path: Path, size: int) -> None:
        short = [name for name in path.links if self.topology.links[name].mtu_bytes < size]
        if short:
            raise Infeasible(
                f"{short[0]} carries {self.topology.links[short[0]].mtu_bytes} bytes, {size} are needed",
                reason="MTU",
                metadata={"links": ",".join(short), "neededBytes": str(size)},
            )
