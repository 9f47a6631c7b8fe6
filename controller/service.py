"""Every use case, once: what the gRPC and REST faces call. Errors are those of `core.errors`."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace

from controller.core import fgotn_view, names
from controller.core.alternatives import plan_or_explain
from controller.core.drift import Drift
from controller.core.errors import AlreadyExists, Conflict, FailedPrecondition, Infeasible, Invalid, NotFound
from controller.core.generation import next_generation
from controller.core.hitless import Occasion, plan_anew
from controller.core.lifecycle import Happening, after
from controller.core.maintenance import Draining
from controller.core.model import Corridor, EventType, Link, LinkKind, State, TopologyView
from controller.core.otn import RowKey
from controller.core.otn.grooming import open_servers
from controller.core.otn.moves import Defragmentation
from controller.core.plan import Plan, removal
from controller.core.records import Record
from controller.core.slo import verdict
from controller.core.topology import Topology
from controller.defragmentation import Defragmenter
from controller.drift import drift, with_troubles
from controller.maintenance import Maintenance
from controller.progress import Progress
from controller.reading import Reading, missing
from controller.state import NetworkState

OUTPUT_ONLY = {
    "uid": "",
    "state": State.PROVISIONING,
    "reconciling": False,
    "vrf": 0,
    "legs": (),
    "conditions": (),
    "generation": 0,
    "observed_generation": 0,
    "etag": "",
    "create_time": None,
    "update_time": None,
    "slo": None,
    "last_move": None,
}
IMMUTABLE = ("name", "isolation")
CHANGEABLE = (
    "display_name",
    "a_end",
    "z_end",
    "reservation",
    "protection",
    "profiles",
    "active_profile",
    "max_latency_us",
    "mtu_bytes",
    "reference_packet_bytes",
    "priority",
    "allow_interruption",
    "recovery",
    "reordering",
    "path_constraints",
)


class Service(Reading):
    """All of them, over one domain's state."""

    def __init__(self, state: NetworkState, progress: Progress) -> None:
        super().__init__(state)
        self._state = state
        self._progress = progress
        self._defragmenter = Defragmenter(state, progress)
        self._maintenance = Maintenance(state, progress)

    async def create_corridor(
        self,
        parent: str,
        corridor_id: str,
        corridor: Corridor,
        *,
        validate_only: bool = False,
        request_id: str = "",
    ) -> Corridor:
        """Plan, store and start to build a corridor; the answer is the plan, the state follows (AIP-133).

        The same request once more, with its id (AIP-155), is answered with the corridor as it is now.
        """
        name = names.corridor(names.tenant_of(parent), names.require_id(corridor_id, "corridor_id"))
        request = _fingerprint(request_id, corridor) if request_id else ""
        async with self._state.writer:
            if name in self._state.records:
                if request and self._record(name).request == request:
                    return self._shown(name)
                raise AlreadyExists(f"{name} exists already", metadata={"name": name})
            asked = self._stamped(replace(corridor, **OUTPUT_ONLY, name=name))  # type: ignore[arg-type]
            change = plan_or_explain(self._state.snapshot(), asked, request)
            if not validate_only:
                await self._progress.begin(change, EventType.CREATED)
        return self._told(change.record.corridor)

    async def changeable_corridor(self, name: str) -> Corridor:
        return await self.get_corridor(name)

    async def update_corridor(self, corridor: Corridor, update_mask: tuple[str, ...], *, etag: str = "") -> Corridor:
        """Change the named fields (AIP-134); a change under way is waited for.

        What cannot be changed may be named while it says what is (AIP-203): what was read can be sent back.
        """
        stands = self._record(corridor.name).corridor
        fields = update_mask or tuple(f for f in CHANGEABLE if getattr(corridor, f) != getattr(Corridor(), f))
        fields = tuple(f for f in fields if f not in IMMUTABLE or getattr(corridor, f) != getattr(stands, f))
        for field in fields:
            if field not in CHANGEABLE:
                raise Invalid.field(field, "this field cannot be changed", "IMMUTABLE_FIELD")
        return await self._change(corridor.name, {f: getattr(corridor, f) for f in fields}, etag or corridor.etag)

    async def switch_profile(self, name: str, profile: str, *, etag: str = "") -> Corridor:
        """Make another of the corridor's profiles the active one."""
        return await self._change(name, {"active_profile": profile}, etag)

    async def delete_corridor(self, name: str, *, etag: str = "") -> Corridor:
        """Start to take a corridor away; it is gone when its traffic has drained and every device has let go."""
        record = self._record(name)
        if record.corridor.state is State.DELETING:
            return self._shown(name)
        async with self._progress.withdrawn(name):
            record = self._record(name)
            _require_fresh(record, etag)
            state = after(record.corridor.state, Happening.DELETE)
            going = self._stamped(replace(record.corridor, state=state))
            change = removal(self._state.snapshot(), record, going)
            await self._progress.begin(change, EventType.UPDATED)
        return self._told(change.record.corridor)

    async def get_topology(self, name: str) -> TopologyView:
        """The live topology with what the ledger holds of it."""
        view = self._named(name).view()
        links = tuple(self._with_usage(link) for link in view.links)
        return replace(view, nodes=with_troubles(view.nodes, self._state.reconciler), links=links)

    async def defragment(self, name: str, max_moves: int, *, validate_only: bool = False) -> Defragmentation:
        """Free server ODUs of a topology by moving at most so many corridors; the answer says what was done."""
        self._named(name)
        return await self._defragmenter.run(max_moves, validate_only=validate_only)

    async def get_drift(self, name: str, *, read_now: bool = False) -> Drift:
        """Desired against actual of every device."""
        self._named(name)
        return await drift(self._state, read_now=read_now)

    async def drain(self, name: str, *, validate_only: bool = False) -> Draining:
        """Keep a node or link free, and move off it what can be."""
        return await self._maintenance.drain(name, validate_only=validate_only)

    async def undrain(self, name: str) -> Draining:
        """Use a node or link again."""
        return await self._maintenance.undrain(name)

    def _named(self, name: str) -> Topology:
        topology = self._state.topology
        if name not in (names.topology(topology.domain), names.topology("-")):
            raise NotFound(f"no topology {name!r}", metadata={"name": name})
        return topology

    async def get_otn_topology(self) -> fgotn_view.Json:
        """The optical layer as a TE topology (ietf-fgotn-topology)."""
        snapshot = self._state.snapshot()
        return fgotn_view.networks(snapshot.topology, snapshot.ledger)

    async def get_otn_tunnels(self) -> fgotn_view.Json:
        """Trails and slices as TE tunnels (ietf-fgotn-tunnel)."""
        snapshot = self._state.snapshot()
        return fgotn_view.tunnels(snapshot.topology, snapshot.records)

    def _told(self, corridor: Corridor) -> Corridor:
        told = super()._told(corridor)
        return replace(told, slo=verdict(told, self._state.measured.newest(corridor.name)))

    def _planned(self, corridor: Corridor) -> Plan:
        """The change of one that stands; a refusal names what would be accepted."""
        snapshot = self._state.snapshot()
        try:
            return plan_anew(snapshot, corridor)
        except Infeasible:
            return plan_or_explain(snapshot, corridor)

    async def _change(self, name: str, fields: dict[str, object], etag: str) -> Corridor:
        self._record(name)
        async with self._progress.undisturbed(name):
            record = self._record(name)
            _require_fresh(record, etag)
            if record.corridor.state is State.DELETING:
                raise FailedPrecondition(f"{name} is being deleted", reason="WRONG_STATE")
            changed = replace(record.corridor, **fields)  # type: ignore[arg-type]
            if changed == record.corridor:
                return self._told(changed)
            state = after(record.corridor.state, Happening.CHANGE)
            change = self._planned(self._stamped(replace(changed, state=state)))
            await self._progress.begin(change, EventType.UPDATED, Occasion.OWNER)
        return self._told(change.record.corridor)

    def _record(self, name: str) -> Record:
        record = self._state.records.get(name)
        if record is None:
            raise missing(name)
        return record

    def _stamped(self, corridor: Corridor) -> Corridor:
        """The next generation of a corridor, with its times and etag."""
        return next_generation(replace(corridor, uid=corridor.uid or str(uuid.uuid4())), self._state.now())

    def _with_usage(self, link: Link) -> Link:
        ledger = self._state.snapshot().ledger
        if link.kind is LinkKind.ADJACENCY:
            there, back = (ledger.row(RowKey(link.name, "", direction)).kbps for direction in (0, 1))
            return replace(link, reserved_forward_kbps=there, reserved_reverse_kbps=back)
        return replace(link, servers=open_servers(link, ledger)) if link.kind is LinkKind.FIBRE else link


def _fingerprint(request_id: str, corridor: Corridor) -> str:
    """Of a request: another body under the same id is another request."""
    asked = replace(corridor, **OUTPUT_ONLY, name="")  # type: ignore[arg-type]
    return f"{request_id}:{hashlib.sha256(repr(asked).encode()).hexdigest()}"


def _require_fresh(record: Record, etag: str) -> None:
    if etag and etag.strip('"') != record.corridor.etag.strip('"'):
        raise Conflict(
            f"{record.name} has changed since: its etag is {record.corridor.etag}",
            reason="STALE_ETAG",
            metadata={"etag": record.corridor.etag},
        )
