"""Very many random operations on the simulated network, with the real service, store and reconciler: what is left?

Whatever stood is taken down at each look, so that one look compares with the next. Memory is seen twice. What the
kernel says is resident counts everything, but moves with an allocator's holes. How many blocks the interpreter has
handed out (`sys.getallocatedblocks`) is exact, costs nothing (tracing doubled the time), and shows a leak of one object
per operation, which resident megabytes hide.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import running_controller
from databases import dump
from lives import Lives
from running_controller import Controller, corridor, end
from simulated_network import SimulatedNetwork
from small_domain import ring
from virtual_time import VirtualTimeLoop
from waiting import until

from controller.core.errors import Refused
from controller.core.model import Isolation, Profile, Protection, Reservation

PARENT = "tenants/default"
ENDS = ("zgc-r:campus", "cp-r:dc", "tz-r:cell", "yz-r:dc")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
FIBRES = ("F-zgc-cp", "F-cp-tz", "F-tz-yz", "F-zgc-yz")
KBPS = (5_000, 60_000, 300_000, 900_000)
PAGE = os.sysconf("SC_PAGE_SIZE")
STANDING = 8
"""Corridors at most."""
LOOKS = 6
"""Spread over the run; the first one is left out, while caches fill."""
KEEP_EVENTS = 200
"""Retention, low enough to bind in a short run."""
REST = timedelta(seconds=90)
"""An id that was given back rests; before a look all have."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is there when no corridor is."""

    operations: int
    blocks: int
    """Of memory, alive."""
    resident: int
    """Bytes."""
    containers: Counter[str]
    """Lengths, by where they are."""
    tasks: Counter[str]
    stored: dict[str, int]
    """Rows by table."""
    file_bytes: int


@dataclass
class Calendar:
    """The loop's own time as the time of day."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return BEGAN + self.ahead + timedelta(seconds=asyncio.get_running_loop().time())


class Soak:
    """A controller of four sites in a ring, and chance."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.file = directory / "corridor.db"
        self.made = 0
        self.calendar = Calendar()
        self.looks: list[Look] = []
        self.done: Counter[str] = Counter()

    async def run(self, operations: int) -> list[Look]:
        """So many operations; what was seen at each look."""
        await self._start()
        for number in range(1, operations + 1):
            await self._operate()
            if number % (operations // LOOKS) == 0:
                self.looks.append(await self._look(number))
        await self.lives.kill()
        return self.looks

    async def _start(self) -> None:
        plan, network = ring(), SimulatedNetwork.wired(ring())
        self.lives = Lives(network, f"sqlite:///{self.file}", plan, self.calendar, KEEP_EVENTS)
        await self.lives.begin()

    @property
    def controller(self) -> Controller:
        return self.lives.controller

    async def _operate(self) -> None:
        acts = {self._create: 4, self._change: 4, self._switch: 4, self._delete: 3, self._cut: 2, self._mend: 2}
        acts |= {self._restart: 1, self._away: 1, self._watch: 1, self._read: 1, self._defragment: 1}
        (act,) = self.chance.choices(list(acts), list(acts.values()))
        try:
            await act()
            self.done[act.__name__] += 1
        except Refused as refusal:
            self.done[f"{act.__name__}: {refusal.reason}"] += 1
        await asyncio.sleep(self.chance.choice((0, 0.01, 0.2, 1.0)))
        self._forget()

    def _forget(self) -> None:
        """What the simulated network keeps for those who test with it."""
        network = self.lives.network
        for kept in (network.history, network.writes, *(node.commands for node in network.otn_nodes)):
            kept.clear()
        for node in network.otn_nodes:
            node.forced.clear()

    async def _create(self) -> None:
        if len(self.controller.state.records) >= STANDING:
            return
        self.made += 1
        a, z = self.chance.sample(ENDS, 2)
        isolation = self.chance.choice(list(Isolation))
        wanted = corridor(
            isolation=isolation,
            reservation=self.chance.choice(list(Reservation)),
            protection=self.chance.choice(list(Protection) if isolation is Isolation.HARD else [Protection.RESTORE]),
            profiles=self._profiles(),
            active_profile="p0",
        )
        ends = (replace(end(each), dscp=self.made % 64) for each in (a, z))
        wanted = replace(wanted, **dict(zip(("a_end", "z_end"), ends, strict=True)))
        await self.controller.service.create_corridor(PARENT, f"c{self.made}", wanted)

    def _profiles(self) -> tuple[Profile, ...]:
        return tuple(Profile(f"p{number}", self.chance.choice(KBPS)) for number in range(2))

    def _any(self) -> str:
        names = sorted(self.controller.state.records)
        return self.chance.choice(names) if names else f"{PARENT}/corridors/none"

    async def _change(self) -> None:
        record = self.controller.state.records.get(self._any())
        if record is not None:
            changed = replace(record.corridor, profiles=self._profiles(), etag="")
            await self.controller.service.update_corridor(changed, ("profiles",))

    async def _switch(self) -> None:
        await self.controller.service.switch_profile(self._any(), self.chance.choice(("p0", "p1")))

    async def _delete(self) -> None:
        await self.controller.service.delete_corridor(self._any())

    async def _cut(self) -> None:
        if not any(cable.cut for cable in self.lives.network.cables.values()):
            self.lives.network.cut(self.chance.choice(FIBRES), silently=self.chance.random() < 0.2)

    async def _mend(self) -> None:
        for name, cable in self.lives.network.cables.items():
            if cable.cut:
                self.lives.network.mend(name)

    async def _restart(self) -> None:
        device = self.chance.choice(list(self.lives.network.devices.values()))
        if device.connected:
            device.restart_empty()
        if self.chance.random() < 0.5:
            self.chance.choice(self.lives.network.otn_nodes).restart_line_card()

    async def _away(self) -> None:
        device = self.chance.choice(list(self.lives.network.devices.values()))
        device.disconnect()
        await asyncio.sleep(self.chance.choice((0.05, 3.0)))
        device.connect()

    async def _watch(self) -> None:
        """Somebody looks for a while and goes away."""
        watching = self.controller.service.watch_corridors(PARENT)
        with suppress(TimeoutError, StopAsyncIteration):
            async with asyncio.timeout(0.5):
                while True:
                    await anext(watching)
        await watching.aclose()

    async def _read(self) -> None:
        await self.controller.service.list_corridors(PARENT)
        await self.controller.service.get_topology("domains/-/topology")

    async def _defragment(self) -> None:
        await self.controller.service.defragment("domains/-/topology", 2)

    async def _look(self, operations: int) -> Look:
        """Everything is mended and deleted first."""
        await self._mend()
        while names := list(self.controller.state.records):
            for name in names:
                with suppress(Refused):
                    await self.controller.service.delete_corridor(name)
            await until(lambda: len(self.controller.state.records) < len(names), "corridors go")
        await self.lives.quiet()
        self.lives.invariants()
        self.calendar.ahead += REST
        await asyncio.sleep(WAITS_S)
        await self._create_and_delete()
        tasks = Counter(sys.intern(task.get_name().rstrip("0123456789")) for task in asyncio.all_tasks())
        stored = {table: len(each) for table, each in dump(f"sqlite:///{self.file}").items() if table in TABLES}
        size = sum(each.stat().st_size for each in self.file.parent.glob("corridor.db*"))
        containers = lengths(self.controller)
        self._forget()
        gc.collect()
        return Look(operations, sys.getallocatedblocks(), _resident(), containers, tasks, stored, size)

    async def _create_and_delete(self) -> None:
        """What is forgotten only with the next change is."""
        await self.controller.service.create_corridor(PARENT, "last", corridor())
        await self.controller.settled(f"{PARENT}/corridors/last")
        await self.controller.service.delete_corridor(f"{PARENT}/corridors/last")
        await self.controller.settled(f"{PARENT}/corridors/last")
        await self.lives.quiet()


REPLACED = ".reading"
"""What a device was last read back to hold otherwise: as much as it happens to be, until the next time."""
WAITS_S = 15.0
"""Longer than any task waits to look at a corridor again."""
TABLES = ("records", "ledger", "ids", "resting_ids", "wiring", "routed", "events")


def lengths(root: object) -> Counter[str]:
    """How much is in the containers that the controller's own objects hold, by the way to them."""
    seen: set[int] = set()
    found: Counter[str] = Counter()
    left: deque[tuple[str, object]] = deque([("", root)])
    while left:
        where, each = left.popleft()
        if id(each) in seen or where.endswith(REPLACED):
            continue
        seen.add(id(each))
        if isinstance(each, dict | set | frozenset | list | deque | tuple):
            found[where] += len(each)
            inner = each.values() if isinstance(each, dict) else each
            left.extend((f"{where}[]", one) for one in inner if _ours(one))
        elif _ours(each):
            left.extend((f"{where}.{name}", value) for name, value in _fields(each))
    return Counter({sys.intern(where): count for where, count in found.items()})  # or each look's names count as blocks


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def _ours(value: object) -> bool:
    return type(value).__module__.startswith(("controller", "running_controller"))


def _fields(value: object) -> Iterator[tuple[str, Any]]:
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    yield from vars(value).items() if hasattr(value, "__dict__") else ()
    yield from ((name, getattr(value, name)) for name in slots if hasattr(value, name))


def soaked(directory: Path, operations: int, seed: int) -> tuple[list[Look], Counter[str]]:
    """What was seen, and what was done."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        patch.setattr(
            running_controller, "HELLO_S", 0.5
        )  # as rare as in earnest, more or less: probes are not the point
        patch.setattr(running_controller, "EAGER_HELLO_S", 0.1)
        patch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # who runs the tests keeps every record
        soak = Soak(directory, seed)
        return runner.run(soak.run(operations)), soak.done
