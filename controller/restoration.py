"""When the network changes under a corridor: find a new path, or say that there is none and try again later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from controller.background import background, stopped
from controller.core.conditions import ConditionType
from controller.core.errors import Conflict, Infeasible, Refused
from controller.core.model import Corridor, EventType, Link, LinkKind, Protection, Stage, State, Status
from controller.core.plan import Plan, plan
from controller.core.protection import Service, links_of, tellers
from controller.core.records import Record, paths_of
from controller.core.topology import Event, LinkChanged, NodeChanged
from controller.drivers.device import PathWatch, Selector
from controller.judgement import Judgement
from controller.list_renewal import ListRenewal
from controller.lost_corridors import LostCorridors
from controller.progress import Progress
from controller.state import NetworkState

log = logging.getLogger(__name__)

FAILED = (State.DOWN, State.DEGRADED)
"""What comes back may help these."""
RETRY_S = 1.0
"""Between a move that the devices refused, or that another controller forestalled, and the next."""
HOLD_OFF_S = 0.1
"""What line cards and headends have to switch a protected corridor before anything is done about it here."""
PROTECTION_WAIT_S = 10.0
"""How long one slice or path carries a protected corridor before two are looked for: a fibre may be back sooner."""


class Restoration:
    """Hears of every change of the topology, and of room that others leave.

    Acts on the corridors concerned, the highest priority first.
    """

    def __init__(self, state: NetworkState, progress: Progress) -> None:
        self._state = state
        self._progress = progress
        self._judgement = Judgement(state)
        self._lost = LostCorridors(state, progress, self._judgement)
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: set[str] = set()
        """Corridors that a task looks after until it is through, whatever else is heard meanwhile."""
        self._again: set[str] = set()
        """Of these, those that something was heard of since their task last looked."""
        self._renewal = ListRenewal(state, progress, self._judgement.cut, self._in_hand)
        self._unprotected_since: dict[str, float] = {}
        """Corridors with one route left, against their promise, by the clock of the event loop."""
        state.when_released = self._room
        state.when_settled = self._settled
        state.when_lists_leave = self._renewal.begin

    def selector_moved(self, device: str, selector: Selector) -> None:
        """One end of a protected slice says which slice its traffic takes."""
        name = self._judgement.selector_moved(device, selector)
        if name is not None:
            self._wake(name)

    def path_watched(self, device: str, watch: PathWatch) -> None:
        """A packet node says what its probes found, and which lists its protected policies take."""
        for name in self._judgement.path_watched(device, watch):
            record = self._state.records.get(name)
            if record is not None and record.target is not None and record.target.leg.backup is not None:
                self._wake(name)

    async def observe(self, *events: Event) -> None:
        """Take observations over as one, then look after the corridors that they concern."""
        before = self._state.topology
        await self._state.observe(*events)
        links = [self._state.topology.links[e.link] for e in events if isinstance(e, LinkChanged)]
        changed = [link for link in links if link.status is not before.links[link.name].status]
        for fibre in tuple(changed):
            changed += await self._trails_follow(fibre)
        nodes = [self._state.topology.nodes[e.node] for e in events if isinstance(e, NodeChanged)]
        answers = any(node.status is Status.UP and node != before.nodes[node.name] for node in nodes)
        came = {node.name for node in nodes if Status.UP is node.status is not before.nodes[node.name].status}
        if answers or any(link.status in (Status.DOWN, Status.UP) for link in changed):
            self._start(changed, answers, came)

    async def _trails_follow(self, carrier: Link) -> list[Link]:
        """An IP adjacency is down the moment what carries it is; it is up again when its own probes say so."""
        if carrier.kind is LinkKind.ADJACENCY or carrier.status is not Status.DOWN:
            return []
        hit = [
            link
            for link in self._state.topology.of_kind(LinkKind.ADJACENCY)
            if carrier.name in self._carriers(link) and link.status in (Status.UP, Status.MISSING)
        ]
        await self._state.observe(*(LinkChanged(link.name, Status.DOWN) for link in hit))
        return [self._state.topology.links[link.name] for link in hit]

    def _carriers(self, adjacency: Link) -> tuple[str, ...]:
        clients = self._state.topology.client_links
        return (*adjacency.trail, clients[adjacency.a_node].name, clients[adjacency.z_node].name)

    def _start(self, changed: list[Link], answers: bool, came: set[str]) -> None:
        """`answers`: a node came back, over which there may be a path again. `came`: what these nodes say counts."""
        down = {link.name for link in changed if link.status is Status.DOWN}
        self._look(down, answers or any(link.status is Status.UP for link in changed), came)

    def _room(self) -> None:
        """A corridor left slots or bandwidth: who found none may find some now."""
        gone = self._unprotected_since.keys() - self._state.records.keys()
        for name in gone:
            del self._unprotected_since[name]
        if any(record.corridor.state in FAILED for record in self._state.records.values()):
            self._look(set(), True, set())

    def _settled(self, name: str) -> None:
        """Of a protected corridor, or one that was, more is to be said than that its change is through."""
        self._judgement.settled(self._state.records[name])
        corridor = self._state.records[name].corridor
        if corridor.protection is Protection.PROTECT or corridor.state is State.DEGRADED:
            self._wake(name)

    def _wake(self, name: str) -> None:
        """Look after one corridor; once more where a task is at it, which may have looked before this news."""
        if name in self._in_hand:
            self._again.add(name)
        else:
            self._in_hand.add(name)
            self._run(self._restore(name))

    def _look(self, down: set[str], back: bool, came: set[str]) -> None:
        self._run(self._restore_all(down, back, came))

    def _run(self, work: Coroutine[Any, Any, None], name: str = "restoration") -> None:
        task = background(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restore_all(self, down: set[str], back: bool, came: set[str]) -> None:
        async with self._state.writer:  # a corridor that was planned before this news is stored by now
            concerned = [
                record
                for record in self._state.records.values()
                if record.target is not None
                and (
                    not down.isdisjoint(links_of(self._state.topology, record.target))
                    or (back and record.corridor.state in FAILED)
                    or not came.isdisjoint(tellers(self._state.topology, record.target))
                )
            ]
            self._again |= {record.name for record in concerned} & self._in_hand
            concerned = [record for record in concerned if record.name not in self._in_hand]
            self._in_hand |= {record.name for record in concerned}
        concerned.sort(key=lambda record: (-record.corridor.priority, record.name))
        await self._lost.move_all(record.name for record in concerned)
        await asyncio.gather(*(self._restore(record.name) for record in concerned))

    async def _restore(self, name: str) -> None:
        """One task per corridor: it looks again after each change, and after news that came while it looked."""
        try:
            record = self._state.records.get(name)
            protected = record is not None and record.target is not None and record.target.stood_in_for
            if record is not None and protected and not self._judgement.dark(record):
                await asyncio.sleep(HOLD_OFF_S)
            await self._restore_until_settled(name)
        finally:
            self._in_hand.discard(name)
        if name in self._again:
            self._wake(name)
        self._renewal.begin()  # what was not renewed because it was in hand

    async def _restore_until_settled(self, name: str) -> None:
        """Until it stands or nothing can be done; a move that was rolled back is planned again after a pause."""
        while True:
            await self._moved(name)
            try:
                async with self._progress.undisturbed(name):
                    self._again.discard(name)
                    moved = await self._look_after(self._state.records.get(name))
            except Conflict as busy:
                log.warning("%s; its path is looked after when that is through", busy)
                if busy.reason != "CHANGE_UNDER_WAY":  # another controller's: nothing here to wait for
                    await asyncio.sleep(RETRY_S)
                continue
            if not moved:
                return

    async def _moved(self, name: str) -> None:
        """Until a move that is under way is through; one that was rolled back is not planned again at once."""
        if not self._progress.under_way(name):
            return
        await self._progress.finished(name)
        record = self._state.records.get(name)
        if record is not None and (record.corridor.state is State.DOWN or _undone(record.corridor)):
            await asyncio.sleep(RETRY_S)

    async def _look_after(self, record: Record | None) -> bool:
        """Under the writer; True where a move was started."""
        if record is None or record.target is None:
            return False
        service = self._judgement.service(record)
        if service not in (Service.EXPOSED, Service.SWITCHED):
            self._unprotected_since.pop(record.name, None)
        match service:
            case Service.UNKNOWN:
                return False
            case Service.LOST:
                return await self._move(record)
            case Service.EXPOSED | Service.SWITCHED:
                return await self._unprotected(record, service)
        await self._judgement.say(record, service)
        return False

    async def _unprotected(self, record: Record, service: Service) -> bool:
        """Say so; two whole slices are looked for when one has carried it alone for long."""
        clock = asyncio.get_running_loop().time
        if record.name not in self._unprotected_since:
            self._unprotected_since[record.name] = clock()
            self._run(self._later(record.name), "wait for protection")
        waits = clock() - self._unprotected_since[record.name] < PROTECTION_WAIT_S
        if waits or self._judgement.reverting(record):
            await self._judgement.say(record, service)
            return False
        try:
            change = self._protected(record, service)
        except Refused as refusal:
            await self._judgement.say(record, service, str(refusal))
            return False
        await self._progress.begin(change, EventType.UPDATED)
        return True

    def _protected(self, record: Record, service: Service) -> Plan:
        """The change that protects it anew and leaves what carries it untouched until traffic has left it.

        The working slice stays where it carries; where the protection slice does, a new pair takes over. Of two paths
        the one that is whole stays, and works from then on.
        """
        assert record.target is not None
        change = plan(self._state.snapshot().without(self._judgement.suspects(record)), record.corridor)
        target = change.record.target
        assert target is not None
        if not target.leg.slices:
            if target.leg.backup is None or paths_of(target.leg) == paths_of(record.target.leg):
                raise Infeasible("there is no other path to protect it by", reason="NO_DISJOINT_PAIR")
            return change
        same = target.protection is not None and target.protection == record.target.protection
        kept = target.slice == record.target.slice
        if target.protection is None or same or kept is not (service is Service.EXPOSED):
            raise Infeasible("there is no other route to protect it by", reason="NO_DISJOINT_PAIR")
        return change

    async def _later(self, name: str) -> None:
        await asyncio.sleep(PROTECTION_WAIT_S)
        if name in self._unprotected_since:
            self._wake(name)

    async def _move(self, record: Record) -> bool:
        change = self._lost.answer(self._state.snapshot(), record)
        if change is None:
            return False
        if change.record.stage is Stage.SETTLED:
            await self._state.commit(change, EventType.UPDATED)
            return False
        await self._progress.begin(change, EventType.UPDATED)
        return True

    async def close(self) -> None:
        await self._renewal.close()
        await stopped(self._tasks)


def _undone(corridor: Corridor) -> bool:
    """Its last change was rolled back: the same again would be too."""
    return any(condition.type == ConditionType.ROLLED_BACK for condition in corridor.conditions)
