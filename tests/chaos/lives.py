"""A controller that is killed and started again on the same database and the same devices, and what stood after."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from databases import execute
from mortal_store import mortal
from resized import books_agree
from running_controller import Clock, Controller
from simulated_network import SimulatedNetwork, channel_of_policy, policies
from waiting import until

from controller.core.entries import SlotAssignment
from controller.core.model import Corridor, LinkKind, NodeKind, Stage, Status
from controller.core.names import short
from controller.core.otn import LINE, RowKey
from controller.core.records import Record, claims_of
from controller.store.events import KEEP_EVENTS
from controller.topology_file import TopologyFile

STAGE_TIMEOUT_S = 10.0
SOON_S = 5.0
"""What was promised: once the network is quiet, devices hold what they shall within this time."""
QUIET_S = 120.0
UNDER_WAY = ("progress ", "restoration", "sizes of ", "renewal ")
"""Names of tasks that may change something."""
DELAY_S = 0.0007
"""By how much each device takes longer than the one before it."""
OF_THE_WORLD = ("handshake ",)
"""Names of tasks of the devices, which no controller takes with it."""
LEDGER = "link", "server", "direction", "bitmap", "kbps"
Act = Callable[[Controller], Awaitable[object]]
Shape = dict[str, Any]


@dataclass
class Lives:
    """One controller after the other. `moments`: after so many happenings of its change each was killed."""

    network: SimulatedNetwork
    database: str
    plan: TopologyFile
    clock: Callable[[], datetime] = field(default_factory=Clock)
    keep_events: int = KEEP_EVENTS
    deaths: list[str] = field(default_factory=list)
    """The happening that was the last of each."""

    def __post_init__(self) -> None:
        self.ledger: dict[RowKey, tuple[int, int]] = {}
        """Slots and kbit/s, as they were stored when the books were last looked at."""
        self.dark: list[str] = []
        """Policies that led nowhere, at whatever instant."""
        for number, device in enumerate(self.network.devices.values()):
            device.delay_s = DELAY_S * number  # so that what should not depend on who answers first is seen not to

    def watch(self) -> None:
        """From now on notice every instant at which a packet would be lost."""
        self.network.witnesses.append(self._look)

    def _look(self, happening: str) -> None:
        """Make before break, whoever dies: as long as no fibre is cut, each policy leads to a router all the while."""
        if not any(cable.cut for cable in self.network.cables.values()):
            self.dark += [f"after {happening}: {policy}" for policy in self._nowhere()]

    async def begin(self) -> Controller:
        """As soon as it stands it is quiet, whatever its forerunner left."""
        store = mortal(self.network, self.keep_events)
        controller = Controller(
            self.network, self.database, self.clock, store_type=store, stage_timeout_s=STAGE_TIMEOUT_S
        )
        self.controller = await controller.start(self.plan)
        await self.quiet()
        return controller

    async def kill(self) -> None:
        """As `kill -9`: no task of the controller takes another step, devices and database keep what they have."""
        self.network.die_after = 0  # nothing that tasks do on their way out reaches a device or the store
        for device in self.network.devices.values():
            device.listener, device.connected = None, False
        while doomed := [task for task in asyncio.all_tasks() if _mortal(task)]:
            for task in doomed:
                task.cancel()
            await asyncio.wait(doomed, timeout=0.01)
        await self.controller.store.close()
        self.network.die_after = None
        self.network.stalled.clear()
        assert not self.controller.faults

    async def dies_in(self, act: Act, moment: int) -> tuple[bool, bool]:
        """(killed before all was quiet, the caller had its answer); killed after so many happenings from now."""
        network = self.network
        network.die_after = len(network.history) + moment
        asked = asyncio.ensure_future(act(self.controller))
        asked.set_name("a client")
        done = asyncio.ensure_future(self._through(asked))
        dead = asyncio.ensure_future(network.stalled.wait())
        await asyncio.wait({done, dead}, return_when=asyncio.FIRST_COMPLETED)
        died = network.stalled.is_set()
        answered = asked.done() and not asked.cancelled() and asked.exception() is None
        if died:
            self.deaths.append(network.history[-1])
            for task in (asked, done, dead):
                task.cancel()
            await self.kill()
            await asyncio.gather(asked, done, dead, return_exceptions=True)
        else:
            dead.cancel()
            await done
        network.die_after = None
        return died, answered

    async def _through(self, asked: asyncio.Future[object]) -> None:
        await asyncio.shield(asked)
        await self.quiet()

    async def quiet(self) -> None:
        """Nothing is under way; then devices hold what is rendered within the time that was promised."""
        await until(self._still, f"all is quiet: {self._said()}", QUIET_S)
        await until(lambda: self._still() and not self.controller.differences(), "desired = actual", SOON_S)

    def _still(self) -> bool:
        state = self.controller.state
        if state.writer.locked() or not all(map(_settled, state.records.values())):
            return False
        if any(task.get_name().startswith(UNDER_WAY) for task in asyncio.all_tasks()):
            return False
        return self._links_as_they_are()

    def _said(self) -> list[object]:
        return [(r.name, r.stage, r.corridor.conditions) for r in self.controller.state.records.values()]

    def _links_as_they_are(self) -> bool:
        """Every fibre and every trail over it is known for what it is."""
        links = self.controller.state.topology.links
        cut = {name for name, cable in self.network.cables.items() if cable.cut}
        for link in links.values():
            ways = link.trail if link.kind is LinkKind.ADJACENCY else (link.name,)
            wanted = Status.DOWN if any(short(each) in cut for each in ways) else Status.UP
            if link.status is not wanted:
                return False
        return True

    # -- what must hold at any quiet moment ---------------------------------------------------------------------------

    def invariants(self) -> None:
        """No slot is held twice, books and devices agree, nothing is left behind."""
        self._books()
        books_agree(self.controller)
        records = self.controller.state.records.values()
        for record in records:
            assert (record.stage, record.corridor.reconciling) == (Stage.SETTLED, False)
            for part in record.corridor.legs[0].slices:
                self._one_size(part.id, 2 * len(part.hops), (part.claimed_slots, part.active_slots, part.active_slots))
        owned = {part.id for record in records for part in record.corridor.legs[0].slices}
        held = [e for node in self.network.otn_nodes for e in node.entries.values() if isinstance(e, SlotAssignment)]
        assert {entry.slice_id for entry in held if entry.server != LINE} <= owned, "slots are left behind"
        assert not self._nowhere(), "steered into the dark"

    def unfelt(self) -> None:
        """Only controllers died since it began: no packet was to notice."""
        assert not any(node.forced for node in self.network.otn_nodes), "a size was forced"
        assert not self.dark, "steered into the dark on the way"

    def _nowhere(self) -> list[str]:
        """Policies whose channel comes out at no router."""
        return [
            f"{device.name}: {policy.key}"
            for device in self.network.devices.values()
            if device.kind is NodeKind.ROUTER
            for policy in policies(device)
            if self.network.reaches(device.name, channel_of_policy(device, policy)) is None
        ]

    def _one_size(self, number: int, places: int, wanted: tuple[int, int, int]) -> None:
        nodes = self.network.otn_nodes
        found = [(len(e.slots), *node.sizes[number]) for node in nodes for e in node.slots_of(number)]
        assert found == places * [wanted], f"slice {number}"

    def _books(self) -> None:
        """The ledger in the database is the sum of what the corridors hold, beside what trails and servers take."""
        held: dict[RowKey, tuple[int, int]] = {}
        for record in self.controller.state.records.values():
            for claim in claims_of(record):
                bitmap, kbps = held.get(claim.row, (0, 0))
                assert not bitmap & claim.bitmap, f"two hold slots of {claim.row}"
                held[claim.row] = bitmap | claim.bitmap, kbps + claim.kbps
        self.ledger = {
            RowKey(*key): (int(bitmap, 16), kbps) for *key, bitmap, kbps in rows(self.database, "ledger", *LEDGER)
        }
        for key, stored in self.ledger.items():
            if key.server != LINE:
                assert stored == held.get(key, (0, 0)), key

    def shape(self) -> Shape:
        """All that stands, but for the numbers that it was given: as it would be had nobody ever died."""
        return {
            "corridors": {name: _public(r.corridor) for name, r in sorted(self.controller.state.records.items())},
            "links": {name: link.status for name, link in self.controller.state.topology.links.items()},
            "records": len(rows(self.database, "records", "name")),
            "ids": Counter(rows(self.database, "ids", "kind", "place")),
            "ledger": {key: (slots.bit_count(), kbps) for key, (slots, kbps) in self.ledger.items() if slots or kbps},
            "entries": {
                short(name): Counter(
                    type(entry).__name__ + getattr(entry, "table", "") for entry in device.own().values()
                )
                for name, device in self.network.devices.items()
            },
        }


def rows(database: str, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Of a table, read behind the controller's back."""
    return execute(database, f"SELECT {', '.join(columns)} FROM {table}")


def _mortal(task: asyncio.Task[Any]) -> bool:
    return task is not asyncio.current_task() and not task.get_name().startswith(OF_THE_WORLD)


def _settled(record: Record) -> bool:
    return record.stage is Stage.SETTLED and not record.corridor.reconciling


def _public(corridor: Corridor) -> tuple[object, ...]:
    """What its owner asked for, and where it runs."""
    (leg,) = corridor.legs
    parts = [(p.role, p.claimed_slots, p.active_slots, [(h.link, h.server) for h in p.hops]) for p in leg.slices]
    asked = corridor.profiles, corridor.active_profile, corridor.protection, corridor.path_constraints
    return corridor.state, corridor.conditions, asked, leg.links, parts
