"""The controller's memory: one snapshot, replaced whole by one writer, and what follows from it for the devices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from controller.audience import Audience
from controller.background import to_the_end
from controller.core import leftovers
from controller.core.batch import Batch
from controller.core.entries import Entry
from controller.core.errors import Invalid
from controller.core.ids import Ids
from controller.core.model import Capabilities, Container, CorridorEvent, EventType, Link, Slice, Stage, Status
from controller.core.otn import Ledger, RowKey, narrowest, resumed, slot_bps, slots_for
from controller.core.otn.servers import stands_in
from controller.core.plan import Plan, advance
from controller.core.records import Placement, Record, claims_of, own_ids, with_reference_packets
from controller.core.render import render_infrastructure, render_record
from controller.core.segments.igp import Underlay
from controller.core.segments.locators import ALGORITHMS, as_it_was, routed
from controller.core.snapshot import Snapshot
from controller.core.topology import DrainChanged, Event, LinkChanged, NodeChanged, Topology
from controller.core.trails import initial_ledger, with_ids
from controller.desired import INFRASTRUCTURE, DesiredEntries
from controller.group_commit import GroupCommit, Make, Step
from controller.group_commit import Touched as Touched
from controller.measured import Measured
from controller.reconcile import Reconciler
from controller.routing import Routing
from controller.store import Store, Wiring

Clock = Callable[[], datetime]


class NetworkState:
    """Topology, ledger, ids and records as one; the only place where they change."""

    def __init__(self, store: Store, snapshot: Snapshot, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._topology = snapshot.topology
        self._ledger = snapshot.ledger
        self._ids = snapshot.ids
        self._layers = snapshot.layers
        self._routing = Routing(snapshot.underlays[0])
        self._records = dict(snapshot.records)
        self._down: set[str] = set()
        """Links that are down, or were when the controller last ran and are not judged yet."""
        self._learned: dict[str, Capabilities] = {}
        """By router: what is not stored yet."""
        self._desired = DesiredEntries()
        self._audience = Audience()
        self.measured = Measured()
        """Delays of corridors, as headends tell them."""
        self.when_released: Callable[[], None] = lambda: None
        """Called after a commit that gave slots or bandwidth back, and at the end of a maintenance."""
        self.when_settled: Callable[[str], None] = lambda _name: None
        """Called with the name of a corridor when a change of it is through."""
        self.when_lists_leave: Callable[[], None] = lambda: None
        """Called while lists stand that keep routes from following the topology."""
        self.writer = asyncio.Lock()
        """Held from the snapshot a plan is made on until it is committed."""
        self._steps = GroupCommit(self.writer, self._take_steps)
        self.reconciler = Reconciler(self.desired)
        self.sequence = 0
        """Of the newest event."""

    @classmethod
    async def restore(cls, store: Store, planned: Topology, clock: Clock) -> NetworkState:
        """What stood when the controller last ran, over the topology that the file plans."""
        stored = await store.load()
        topology, ids = with_ids(planned, stored.ids, clock())
        await store.put_ids(stored.ids, ids)
        wiring = {name: seen for name, seen in stored.wiring.items() if name in topology.links}
        for link, seen in wiring.items():
            topology = topology.apply(LinkChanged(link, Status.MISSING, seen.a_port, seen.z_port))
        for name in stored.drained & (topology.nodes.keys() | topology.links.keys()):
            topology = topology.apply(DrainChanged(name, True))
        for node in stored.capabilities.keys() & topology.nodes.keys():  # what stands there was rendered for these
            topology = topology.apply(NodeChanged(node, topology.nodes[node].status, stored.capabilities[node]))
        found = {name: with_reference_packets(record) for name, record in stored.records.items()}
        records = {name: leftovers.known(topology, record) for name, record in found.items()}
        claims = frozenset(claim for record in records.values() for claim in claims_of(record))
        planned_ledger = initial_ledger(topology)
        _require_planned(topology, planned_ledger, records)
        for before in [found[name] for name, record in records.items() if record is not found[name]]:
            plan = _forgetting(before, records.pop(before.name), planned_ledger, ids, clock())
            kind = EventType.DELETED if plan.record.gone else EventType.UPDATED
            await store.commit(plan, planned_ledger, ids, kind, clock())
            ids = plan.ids
            if not plan.record.gone:
                records[before.name] = plan.record
        ledger = resumed(planned_ledger.change(frozenset(), claims), stored.ledger_versions)
        await store.open_ledger(ledger)
        state = cls(store, Snapshot(topology, ledger, ids, records, clock()), clock)
        newest = await store.newest_sequence()
        state.sequence = newest
        state._down = {name for name, seen in wiring.items() if seen.down}
        if stored.routed:  # what the lists that stand were encoded for
            state._routing = Routing(Underlay.of(as_it_was(state._layers.packet, stored.routed), ALGORITHMS))
        state._follow()
        await store.put_routed(state._routing.underlays[0].links)
        state._render_infrastructure()
        for record in records.values():
            state._render(record)
        return state

    @property
    def topology(self) -> Topology:
        return self._topology

    @property
    def records(self) -> Mapping[str, Record]:
        return self._records

    def now(self) -> datetime:
        return self._clock()

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self._topology,
            self._ledger,
            self._ids,
            self._records,
            self._clock(),
            self._layers,
            self._routing.for_plans,
        )

    async def commit(self, plan: Plan, kind: EventType) -> Touched:
        """Store a plan made under `writer`, take it over, wake the devices; returns what it changes in them."""
        return (await self.commit_all([(plan, kind)]))[0]

    async def commit_all(self, changes: Sequence[tuple[Plan, EventType]]) -> list[Touched]:
        """As `commit`, of plans each of which was made on the one before (`core.batch`): all are stored, or none."""
        events = await self._store_all(changes)
        last = changes[-1][0]
        released = self._ledger.gives_back(last.ledger)
        self._ledger, self._ids = last.ledger, last.ids
        rows = frozenset[RowKey]().union(*(plan.rows for plan, _ in changes))
        self._layers = self._layers.booked(self._topology, self._ledger, rows)
        touched = [self._take_over(plan, kind) for plan, kind in changes]
        for event in events:
            self.sequence = event.sequence
            self._audience.tell(event)
        for each in touched:
            self.reconciler.changed(each)
        if released:
            self.when_released()
        for plan, kind in changes:
            if kind is not EventType.DELETED and _settles(plan):
                self.when_settled(plan.record.name)
        if self._routing.changed([plan.record for plan, _ in changes], self._topology, self._ids):
            await self._reroute_after_all()
        return touched

    async def step(self, name: str, make: Make) -> Touched:
        """Bring a record one step on; steps that are asked for at the same time are stored as one."""
        return await self._steps.stored(name, make)

    async def _store_all(self, changes: Sequence[tuple[Plan, EventType]]) -> Sequence[CorridorEvent]:
        now = self._clock()
        if len(changes) == 1:
            return [await self._store.commit(changes[0][0], self._ledger, self._ids, changes[0][1], now)]
        return await self._store.commit_all(changes, self._ledger, self._ids, now)

    async def _take_steps(self, steps: Sequence[Step]) -> None:
        """Under the writer."""
        batch, taken = Batch(self.snapshot()), list[tuple[Step, EventType]]()
        for step in steps:
            try:
                before = batch.snapshot.records[step.name]
                record, kind = step.make(before)
                batch.add(advance(batch.snapshot, before, record))
            except Exception as failure:  # noqa: BLE001 - of this step alone
                step.failure = failure
                continue
            taken.append((step, kind))
        if not taken:
            return
        kinds = [kind for _, kind in taken]
        touched = await self.commit_all(list(zip(batch.plans, kinds, strict=True)))
        for (step, _), each in zip(taken, touched, strict=True):
            step.touched = each

    def _take_over(self, plan: Plan, kind: EventType) -> Touched:
        if kind is EventType.DELETED:
            del self._records[plan.record.name]
        else:
            self._records[plan.record.name] = plan.record
        return self._render(plan.record)

    def learn(self, device: str, capabilities: Capabilities) -> None:
        """What a router can do, before anything is written to it: its corridors are rendered for what it is."""
        before = self._topology
        self._topology = before.apply(NodeChanged(device, before.nodes[device].status, capabilities))
        if self._topology is not before:
            self._learned[device] = capabilities
            for name in self._desired.owners(device):
                self.reconciler.changed(self._render(self._records[name]))

    async def drain(self, name: str, drained: bool) -> None:
        """Under the writer: keep a node or link free from now on, or no longer; remembered across restarts. Stored and
        in memory or neither, even if the caller is cancelled meanwhile."""
        await to_the_end(self._drain(name, drained))

    async def _drain(self, name: str, drained: bool) -> None:
        await self._store.put_drained(name, drained)
        self._topology = self._topology.apply(DrainChanged(name, drained))
        if not drained:
            self.when_released()

    def owners(self, device: str, keys: Collection[Hashable]) -> tuple[str, ...]:
        """The corridors that these entries of a device are of."""
        return self._desired.owners_of(device, keys)

    async def observe(self, *events: Event) -> None:
        """Take observations of the network over as one; ports and losses are remembered across restarts."""
        while self._learned:
            await self._store.put_capabilities(*self._learned.popitem())
        before = self._topology
        for event in events:
            self._topology = self._topology.apply(event)
        if self._topology is before:
            return
        self._layers = self._layers.observed(before, self._topology)
        links = self._topology.links
        planned = [(old, links[name]) for name, old in before.links.items() if name in links]
        rewired = [new for old, new in planned if (old.a_port, old.z_port) != (new.a_port, new.z_port)]
        judged = [new for _, new in planned if self._judge(new)]
        async with self.writer:  # a list that is being stored now is one of those that routes wait for
            present = self._routing.underlays[0]
            await self._reroute()
            if rewired or self._routing.underlays[0] is not present:
                self._render_infrastructure()
            if rewired:
                self._rewired()
            for link in {link.name: link for link in (*rewired, *judged)}.values():
                await self._store.put_wiring(link.name, Wiring(link.a_port, link.z_port, link.name in self._down))

    @property
    def leaving(self) -> frozenset[str]:
        """Corridors with a list that would leave its path, were routes to follow the topology now."""
        return self._routing.waiting

    async def _reroute(self) -> None:
        """Routes follow the topology, and are stored before a device hears of them."""
        if self._follow():
            await self._store.put_routed(self._routing.underlays[0].links)

    async def _reroute_after_all(self) -> None:
        """After a commit, which its caller is not refused any more: where routes are not stored this process must end,
        and a new start goes on from what is."""
        try:
            await self._reroute()
        except Exception as failure:  # noqa: BLE001 - whatever it is, memory is ahead of the store
            context = {"message": "routes that follow a change are not stored", "exception": failure}
            asyncio.get_running_loop().call_exception_handler(context)
            return
        self._render_infrastructure()

    def _follow(self) -> bool:
        """At once, or when the lists that mind are gone. True where the routes in force changed."""
        wanted = routed(self._known(), self._layers.packet)
        changed = self._routing.follow(wanted, self._topology, self._ids, self._records.values())
        if self._routing.waiting:
            self.when_lists_leave()
        return changed

    def _known(self) -> Topology:
        known = self._topology
        for name in self._down:
            known = known.apply(LinkChanged(name, Status.DOWN))
        return known

    def _judge(self, link: Link) -> bool:
        """Whether a link was found down, or up again."""
        was = link.name in self._down
        if link.status is Status.DOWN:
            self._down.add(link.name)
        elif link.status is Status.UP:
            self._down.discard(link.name)
        return was != (link.name in self._down)

    def _rewired(self) -> None:
        """Ports moved under what stands: every corridor's entries are rendered anew."""
        for record in self._records.values():
            self.reconciler.changed(self._render(record))

    def desired(self, device: str) -> Mapping[Hashable, Entry]:
        """Everything that a device shall hold now."""
        return self._desired.of(device)

    def touching(self, name: str) -> Touched:
        """All devices of a corridor, with all keys of any stage of its change: nothing is known of what they hold."""
        record, keys = self._records[name], dict[str, set[Hashable]]()
        for stage in Stage:
            part = render_record(self._topology, self._ids, replace(record, stage=stage))
            for device, entries in part.items():
                keys.setdefault(device, set()).update(entries)
        return {device: frozenset(found) for device, found in keys.items()}

    def watch(self) -> asyncio.Queue[CorridorEvent]:
        """New events; who falls far behind loses the oldest, sees the gap in their sequence, and asks for `events`."""
        return self._audience.join()

    def unwatch(self, queue: asyncio.Queue[CorridorEvent]) -> None:
        self._audience.leave(queue)

    async def events(self, after: int) -> tuple[CorridorEvent, ...]:
        return await self._store.events(after)

    def _render(self, record: Record) -> Touched:
        stands = record.name in self._records
        return self._desired.put(record.name, render_record(self._topology, self._ids, record) if stands else {})

    def _render_infrastructure(self) -> None:
        part = render_infrastructure(self._topology, self._ids, self._routing.underlays[0])
        self.reconciler.changed(self._desired.put(INFRASTRUCTURE, part))


def _settles(plan: Plan) -> bool:
    before = plan.before
    return before is not None and before.stage is not Stage.SETTLED and plan.record.stage is Stage.SETTLED


def _forgetting(before: Record, after: Record, ledger: Ledger, ids: Ids, now: datetime) -> Plan:
    """A record without leftovers that the topology file has no more, and without what they alone needed."""
    told = replace(after, corridor=replace(leftovers.told(after, now), update_time=now))
    return Plan(before, told, ledger, ids.free(own_ids(before) - own_ids(after), now))


def _require_planned(topology: Topology, ledger: Ledger, records: Mapping[str, Record]) -> None:
    """A topology file may lose what no corridor stands on, and nothing else."""
    known = topology.nodes.keys() | topology.links.keys()
    for record in records.values():
        used = {f"{claim.row.link} {claim.row.server}" for claim in claims_of(record) if not ledger.offers(claim)}
        for each in record.placements:
            used |= {each.a_end.node, each.z_end.node, *each.leg.nodes, *each.leg.links} - known
            used |= {*each.leg.backup.nodes, *each.leg.backup.links} - known if each.leg.backup else set()
        used = used or {misfit for each in record.placements for misfit in _misfits(topology, each)}
        if used:
            raise Invalid(f"{record.name} stands on {', '.join(sorted(used))}, which the topology file no longer has")


def _misfits(topology: Topology, placement: Placement) -> Iterator[str]:
    """Where its slices have slots in lines that are of another kind now, in which as many slots are something else."""
    for part in placement.leg.slices:
        lines = {hop.link: topology.links[hop.link].line for hop in part.hops}
        small = part.container is Container.ODUFLEX and _too_small(placement, part, narrowest(lines.values()))
        for hop in part.hops:
            if small or not stands_in(hop.server, lines[hop.link]):
                yield f"{hop.link} {hop.server} of another line than {lines[hop.link]}"


def _too_small(placement: Placement, part: Slice, line: Container) -> bool:
    """Whether an ODUflex that counts in the slots of such a line has too few for what is promised."""
    now = max(placement.forward_kbps, placement.reverse_kbps)
    most = max(placement.claimed_forward_kbps, placement.claimed_reverse_kbps)
    each = slot_bps(part.container, line)
    return slots_for(now, each) > part.active_slots or slots_for(most, each) > part.claimed_slots
