"""The use cases in memory: enough of the service layer to stand behind the faces in a test."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from controller.core.drift import DeviceDrift, Drift, DriftKind, EntryDrift
from controller.core.errors import (
    AlreadyExists,
    Conflict,
    DeviceUnreachable,
    FailedPrecondition,
    Infeasible,
    Invalid,
    NotFound,
    Unavailable,
    Violation,
)
from controller.core.maintenance import Draining, Staying
from controller.core.model import (
    AccessPort,
    Capabilities,
    Corridor,
    CorridorEvent,
    EventType,
    Link,
    LinkKind,
    Liveness,
    Neighbor,
    Node,
    NodeKind,
    SliceRole,
    State,
    Status,
    TopologyView,
)
from controller.core.otn.moves import Defragmentation, FreedServer, ServerChange, SliceMove

PLAN = Defragmentation(
    (
        SliceMove(
            "tenants/acme/corridors/c1",
            (ServerChange(7, SliceRole.WORKING, "domains/metro/links/F-a-b", "odu0-1", "odu0-2"),),
        ),
    ),
    (FreedServer("domains/metro/links/F-a-b", "odu0-1", 119, 1),),
    True,
)
NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
DOMAIN = "domains/metro"
TOPOLOGY = TopologyView(
    name=f"{DOMAIN}/topology",
    srv6_block="fcbb:bb00::/32",
    nodes=(
        Node(
            f"{DOMAIN}/nodes/zgc-r",
            NodeKind.ROUTER,
            latitude=39.98,
            longitude=116.31,
            node_id=1,
            access_ports=(
                AccessPort(
                    "dc1",
                    2,
                    "default",
                    "compute",
                    "10.1.0.1/24",
                    neighbors=(Neighbor("10.1.0.2", "0a:00:00:01:00:02"),),
                ),
            ),
            capabilities=Capabilities(False, Liveness.REMOTE, 2, 1600, resolves_neighbors=False, fenced=False),
            status=Status.UP,
        ),
        Node(f"{DOMAIN}/nodes/zgc-o", NodeKind.OTN, node_id=257),
    ),
    links=(
        Link(
            f"{DOMAIN}/links/F-a-b", LinkKind.FIBRE, f"{DOMAIN}/nodes/zgc-o", f"{DOMAIN}/nodes/b-o", 12.5, srlgs=(11,)
        ),
    ),
    version=7,
)

DRIFT = Drift(
    (
        DeviceDrift(
            f"{DOMAIN}/nodes/zgc-r",
            True,
            "",
            12,
            (
                EntryDrift(DriftKind.MISSING, "policy 17 → encap_red_1(next_hop=3)"),
                EntryDrift(DriftKind.DIFFERENT, "slice_meter 4 → 10/s, burst 1", "slice_meter 4 → 99/s, burst 1"),
            ),
            False,
            NOW,
            3,
            NOW,
        ),
        DeviceDrift(f"{DOMAIN}/nodes/zgc-o", False, "no control stream", 5),
    )
)

EXPLAINED = {
    "bindingLink": f"{DOMAIN}/links/F-a-b",
    "maxBandwidthKbps": "80000",
    "minLatencyUs": "1004",
    "withoutExclusion": f"{DOMAIN}/nodes/zgc-o,{DOMAIN}/links/F-a-b",
    "neededSlots": "10",
}
MANY = tuple(Violation(f"profiles[{n}].name", f"{n:0200} is given twice") for n in range(500))
FAULTS = {
    "fault-unavailable": Unavailable("not the leader"),
    "fault-infeasible": Infeasible(
        "no path within 900 us", reason="LATENCY_BOUND", metadata={"best_us": "1004", "bound_us": "900"}
    ),
    "fault-explained": Infeasible("no path with 100 Mbit/s each way", reason="NO_BANDWIDTH", metadata=EXPLAINED),
    "fault-long": Invalid("; ".join(v.description for v in MANY), violations=MANY, metadata={"links": "F-1," * 9999}),
    "fault-precondition": FailedPrecondition("the corridor is being deleted", reason="DELETING"),
    "fault-conflict": Conflict("a change is still under way", reason="CHANGE_UNDER_WAY"),
    "fault-device": DeviceUnreachable(f"{DOMAIN}/nodes/zgc-r", "no answer"),
    "fault-defect": ZeroDivisionError("a defect with a secret"),
}
"""What asking for the corridor of that id raises."""


class FakeService:
    """Holds corridors by name and every event in order; a corridor is reconciling until `settle`."""

    def __init__(self) -> None:
        self.corridors: dict[str, Corridor] = {}
        self.events: list[CorridorEvent] = []
        self.updates: list[tuple[Corridor, tuple[str, ...], str]] = []
        self.watchers = 0
        self.unwatched = asyncio.Event()
        self.settles = False
        self.defragmented = False
        self.drained: set[str] = set()
        self._changed = asyncio.Event()

    async def create_corridor(
        self, parent: str, corridor_id: str, corridor: Corridor, *, validate_only: bool = False, request_id: str = ""
    ) -> Corridor:
        if not re.fullmatch(r"tenants/[a-z][a-z0-9-]*", parent):
            raise Invalid.field("parent", f"{parent!r} is not tenants/{{tenant}}")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", corridor_id):
            raise Invalid.field("corridor_id", "is not lower case letters, digits and hyphens")
        name = f"{parent}/corridors/{corridor_id}"
        if corridor_id in FAULTS:
            raise FAULTS[corridor_id]
        if name in self.corridors:
            raise AlreadyExists(f"{name} exists")
        self._check(corridor)
        created = replace(corridor, name=name, uid="u-1", generation=1, etag="g1", reconciling=True, create_time=NOW)
        return created if validate_only else self._keep(created, EventType.CREATED)

    def _check(self, corridor: Corridor) -> None:
        known = {node.name for node in TOPOLOGY.nodes}
        for end, node in (("a_end", corridor.a_end.node), ("z_end", corridor.z_end.node)):
            if node and node not in known:
                raise Invalid.field(f"{end}.node", f"{node} is not in the topology", "UNKNOWN_NODE")
        for index, profile in enumerate(corridor.profiles):
            if profile.bandwidth_kbps == 0:
                raise Invalid.field(f"profiles[{index}].bandwidth_kbps", "must be positive")

    async def changeable_corridor(self, name: str) -> Corridor:
        return await self.get_corridor(name)

    async def get_corridor(self, name: str) -> Corridor:
        if (fault := FAULTS.get(name.rpartition("/")[2])) is not None:
            raise fault
        if name not in self.corridors:
            raise NotFound(f"{name} does not exist", metadata={"name": name})
        if self.settles:
            self.settle(name)
        return self.corridors[name]

    async def list_corridors(
        self, parent: str, page_size: int = 0, page_token: str = ""
    ) -> tuple[tuple[Corridor, ...], str]:
        if not re.fullmatch(r"tenants/(-|[a-z][a-z0-9-]*)", parent):
            raise Invalid.field("parent", f"{parent!r} is not tenants/{{tenant}}")
        if page_token and not page_token.isdecimal():
            raise Invalid.field("page_token", "is not one of this controller's")
        found = [corridor for name, corridor in sorted(self.corridors.items()) if _within(name, parent)]
        start = int(page_token or 0)
        end = start + (page_size or 50)
        return tuple(found[start:end]), str(end) if end < len(found) else ""

    async def update_corridor(self, corridor: Corridor, update_mask: tuple[str, ...], *, etag: str = "") -> Corridor:
        current = await self._current(corridor.name, etag)
        self.updates.append((corridor, update_mask, etag))
        changed = replace(current, **{field: getattr(corridor, field) for field in update_mask})
        self._check(changed)
        return self._next(changed)

    async def switch_profile(self, name: str, profile: str, *, etag: str = "") -> Corridor:
        current = await self._current(name, etag)
        if profile not in {known.name for known in current.profiles}:
            raise Invalid.field("profile", f"{profile!r} is none of the corridor's", "UNKNOWN_PROFILE")
        return self._next(replace(current, active_profile=profile))

    async def delete_corridor(self, name: str, *, etag: str = "") -> Corridor:
        current = await self._current(name, etag)
        deleting = replace(current, state=State.DELETING, reconciling=True)
        del self.corridors[name]
        self._note(EventType.DELETED, deleting)
        return deleting

    async def watch_corridors(self, parent: str, after_sequence: int = 0) -> AsyncIterator[CorridorEvent]:
        self.watchers += 1
        self.unwatched.clear()
        try:
            seen = after_sequence or len(self.events)
            if not after_sequence:
                for name, corridor in sorted(self.corridors.items()):
                    if _within(name, parent):
                        yield CorridorEvent(seen, EventType.CREATED, corridor, NOW)
            while True:
                for event in self.events[seen:]:
                    if _within(event.corridor.name, parent):
                        yield event
                seen = len(self.events)
                await self._changed.wait()
        finally:
            self.watchers -= 1
            if not self.watchers:
                self.unwatched.set()

    async def get_topology(self, name: str) -> TopologyView:
        if name not in (TOPOLOGY.name, "domains/-/topology"):
            raise NotFound(f"{name} does not exist")
        return TOPOLOGY

    async def get_otn_topology(self) -> dict[str, Any]:
        return {"ietf-network:networks": {"network": [{"network-id": TOPOLOGY.name}]}}

    async def get_otn_tunnels(self) -> dict[str, Any]:
        return {"ietf-te:te": {"tunnels": {"tunnel": []}}}

    async def defragment(self, name: str, max_moves: int, *, validate_only: bool = False) -> Defragmentation:
        """One move in all; the second time it cannot be made."""
        await self.get_topology(name)
        if max_moves > 200:
            raise Invalid.field("max_moves", "must be 1 to 200")
        if validate_only:
            return PLAN
        if self.defragmented:
            return replace(PLAN, freed=(), stopped="tenants/acme/corridors/c1: is in use again")
        self.defragmented = True
        return replace(PLAN, moves=(replace(PLAN.moves[0], done=True),))

    async def get_drift(self, name: str, *, read_now: bool = False) -> Drift:
        """One device differs, until it is read."""
        await self.get_topology(name)
        return replace(DRIFT, devices=(replace(DRIFT.devices[0], entries=()),)) if read_now else DRIFT

    async def drain(self, name: str, *, validate_only: bool = False) -> Draining:
        """One corridor moves and one stays."""
        if name not in {thing.name for thing in (*TOPOLOGY.nodes, *TOPOLOGY.links)}:
            raise NotFound(f"no node or link {name!r}")
        if not validate_only:
            self.drained.add(name)
        return Draining(
            name,
            name in self.drained,
            ("tenants/acme/corridors/c1",),
            (Staying("tenants/default/corridors/c2", "ENDS_HERE", "it ends at zgc-r"),),
        )

    async def undrain(self, name: str) -> Draining:
        self.drained.discard(name)
        return Draining(name)

    def settle(self, name: str) -> None:
        """The devices agree."""
        corridor = self.corridors[name]
        if corridor.reconciling:
            settled = replace(corridor, reconciling=False, state=State.UP, observed_generation=corridor.generation)
            self._keep(settled, EventType.UPDATED)

    async def _current(self, name: str, etag: str) -> Corridor:
        current = await self.get_corridor(name)
        if etag not in ("", current.etag):
            raise Conflict(f"etag {etag!r} is not the current {current.etag!r}", reason="STALE_ETAG")
        return current

    def _next(self, corridor: Corridor) -> Corridor:
        generation = corridor.generation + 1
        changed = replace(corridor, generation=generation, etag=f"g{generation}", reconciling=True)
        return self._keep(changed, EventType.UPDATED)

    def _keep(self, corridor: Corridor, kind: EventType) -> Corridor:
        self.corridors[corridor.name] = corridor
        self._note(kind, corridor)
        return corridor

    def _note(self, kind: EventType, corridor: Corridor) -> None:
        self.events.append(CorridorEvent(len(self.events) + 1, kind, corridor, NOW))
        self._changed.set()
        self._changed = asyncio.Event()


def _within(name: str, parent: str) -> bool:
    return parent == "tenants/-" or name.startswith(f"{parent}/")
