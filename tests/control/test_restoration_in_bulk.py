"""One failure, many corridors: planned together by priority, stored as one, and resumed after a crash in between.

Without devices, probes and clocks, but for the storm: what is planned and stored is decided by nothing else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from running_controller import DOMAIN, Controller, corridor
from simulated_network import SimulatedNetwork
from small_domain import ring
from waiting import until

from controller import lost_corridors
from controller.core.errors import Conflict, Refused
from controller.core.hitless import plan_anew
from controller.core.model import Capabilities, Corridor, Isolation, LinkKind, NodeKind, Profile, Stage, State, Status
from controller.core.records import Record
from controller.core.snapshot import Snapshot
from controller.core.topology import Event, LinkChanged, NodeChanged, Topology
from controller.progress import Progress
from controller.restoration import Restoration
from controller.service import Service
from controller.state import NetworkState
from controller.store import Store

PARENT = "tenants/default"
CUT = "F-zgc-yz"
MANY = 12
PATIENCE_S = 60.0
ROOM = {
    Isolation.SOFT: ((180_000, 280_000), ("zgc-r:campus", "cp-r:dc"), 600_000),
    Isolation.HARD: ((600_000, 900_000), ("cp-r:dc", "tz-r:cell"), 3_400_000),
}
"""What four corridors ask for, and what another takes of the other way round, so that not all of them find room."""


@dataclass
class Bare:
    """A controller whose devices agree at once, since there are none, and which is told what is up."""

    store: Store
    state: NetworkState
    progress: Progress
    restoration: Restoration
    service: Service

    async def tell(self, fibre: str, status: Status) -> None:
        """What carries a trail takes it along; mended, the trail is heard again."""
        trails = [k.name for k in self.state.topology.of_kind(LinkKind.ADJACENCY) if link(fibre) in k.trail]
        names = [link(fibre)] if status is Status.DOWN else [link(fibre), *trails]
        await self.restoration.observe(*(LinkChanged(name, status) for name in names))

    def state_of(self, name: str) -> State:
        return self.state.records[name].corridor.state

    def all_are(self, state: State) -> bool:
        return self.quiet and all(record.corridor.state is state for record in self.state.records.values())

    @property
    def quiet(self) -> bool:
        return all(record.stage is Stage.SETTLED for record in self.state.records.values())

    def over(self, fibre: str) -> list[str]:
        either = {link(fibre), link(fibre.replace("F", "A", 1))}
        return [name for name, record in self.state.records.items() if not either.isdisjoint(links(record))]


@asynccontextmanager
async def bare(database: str) -> AsyncIterator[Bare]:
    plan = ring()
    store = await Store.open(database)
    await store.raise_epoch()
    planned = Topology.planned(plan.domain, plan.srv6_block, plan.nodes, plan.links)
    state = await NetworkState.restore(store, planned, lambda: datetime.now(UTC))
    progress = Progress(state)
    restoration = Restoration(state, progress)
    down = {name for name, seen in (await store.load()).wiring.items() if seen.down}
    await restoration.observe(*(event for event in _seen(plan) if getattr(event, "link", "") not in down))
    await restoration.observe(*(LinkChanged(name, Status.DOWN) for name in sorted(down)))
    progress.resume()
    try:
        yield Bare(store, state, progress, restoration, Service(state, progress))
    finally:
        for part in (restoration, progress, state.reconciler, store):
            await part.close()


def _seen(plan: Any) -> list[Event]:
    able = Capabilities(resolves_neighbors=True)
    events: list[Event] = [
        NodeChanged(node.name, Status.UP, able if node.kind is NodeKind.ROUTER else None) for node in plan.nodes
    ]
    for number, each in enumerate(plan.links, 2):
        ports = (0, 0) if each.kind is LinkKind.ADJACENCY else (number, number)
        events.append(LinkChanged(each.name, Status.UP, *ports))
    return events


def link(short_name: str) -> str:
    return f"{DOMAIN}/links/{short_name}"


def links(record: Record) -> tuple[str, ...]:
    assert record.target is not None
    return record.target.leg.links


def name_of(number: int) -> str:
    return f"{PARENT}/corridors/c{number}"


def wanted(number: int, kbps: int, **fields: Any) -> Corridor:
    """From zgc to yz, each with prefixes of its own."""
    shape = corridor(profiles=(Profile("all", kbps),), active_profile="all", **fields)
    a = replace(shape.a_end, ipv4_prefixes=(f"10.1.{number}.0/24",), ipv6_prefixes=())
    z = replace(shape.z_end, ipv4_prefixes=(f"10.5.{number}.0/24",), ipv6_prefixes=())
    return replace(shape, a_end=a, z_end=z)


async def stand(on: Bare | Controller, asked: list[Corridor]) -> None:
    for number, each in enumerate(asked):
        await on.service.create_corridor(PARENT, f"c{number}", each)
    records = on.state.records
    await until(lambda: all(r.stage is Stage.SETTLED for r in records.values()), "they stand")
    assert {record.corridor.state for record in records.values()} == {State.UP}


def _portions_of(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of one length."""
    for name in ("FIRST_PORTION_S", "LAST_PORTION_S"):
        monkeypatch.setattr(lost_corridors, name, seconds)


def greedy(snapshot: Snapshot, names: list[str]) -> dict[str, bool]:
    """The oracle: who finds a path when each in turn is planned alone, on all that the ones before it left."""
    found = {}
    turn = sorted(names, key=lambda name: (-snapshot.records[name].corridor.priority, name))
    for name in turn:
        try:
            change = plan_anew(snapshot, snapshot.records[name].corridor)
        except Refused:
            found[name] = False
            continue
        found[name] = True
        records = {**snapshot.records, name: change.record}
        snapshot = replace(snapshot, ledger=change.ledger, ids=change.ids, records=records, kept=None)
    return found


@pytest.mark.parametrize("isolation", [Isolation.SOFT, Isolation.HARD])
@pytest.mark.parametrize(("seed", "portion_s"), [(1, 0.0), (2, 10.0), (3, 0.002)])
async def test_who_is_restored_is_who_comes_first_by_priority(
    database: str, isolation: Isolation, seed: int, portion_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than there is room for the other way round; portions of any length make no difference."""
    _portions_of(portion_s, monkeypatch)
    chance = random.Random(seed)
    (low, high), where, filler = ROOM[isolation]
    asked = [wanted(n, chance.randint(low, high), isolation=isolation, priority=chance.randrange(3)) for n in range(4)]
    async with bare(database) as on:
        await stand(on, asked)
        fill = corridor(*where, profiles=(Profile("all", filler),), active_profile="all")
        await on.service.create_corridor(PARENT, "filler", replace(fill, isolation=isolation))
        await until(lambda: on.quiet, "the filler stands")
        hit = on.over(CUT)
        assert len(hit) == len(asked)
        down = on.state.snapshot()
        for name in (CUT, CUT.replace("F", "A", 1)):
            down = replace(down, topology=down.topology.apply(LinkChanged(link(name), Status.DOWN)), kept=None)
        expected = greedy(down, hit)
        await on.tell(CUT, Status.DOWN)
        await until(lambda: on.quiet and not set(on.over(CUT)) & {n for n in hit if expected[n]}, "they have moved")
        await until(lambda: all(reason(on, n) or expected[n] for n in hit), "the others say why not")
        assert {name: on.state_of(name) is State.UP for name in hit} == expected
        assert set(expected.values()) == {True, False}, "a question with one answer asks nothing"
        assert {reason(on, name) for name in hit if not expected[name]} <= {"NO_CAPACITY"}


async def test_many_are_stored_as_few(database: str) -> None:
    async with bare(database) as on:
        await stand(on, [wanted(n, 5_000, isolation=Isolation.SOFT) for n in range(MANY)])
        assert len(on.over(CUT)) == MANY
        stored: list[int] = []
        commit_all = on.store.commit_all

        async def counted(changes: Any, *rest: Any) -> Any:
            stored.append(len(changes))
            return await commit_all(changes, *rest)

        on.store.commit_all = counted  # type: ignore[method-assign]
        await on.tell(CUT, Status.DOWN)
        await until(lambda: not on.over(CUT) and on.all_are(State.UP), "all have moved")
        assert sum(stored) >= 4 * MANY, "each of four stages of each is stored"
        assert len(stored) < 2 * MANY, stored


async def test_what_is_down_says_why_until_capacity_is_back(database: str) -> None:
    async with bare(database) as on:
        await stand(on, [wanted(n, 10_000, isolation=Isolation.SOFT, priority=n % 3) for n in range(6)])
        await on.tell("F-zgc-cp", Status.DOWN)
        await on.tell(CUT, Status.DOWN)
        names = sorted(on.state.records)
        await until(lambda: on.all_are(State.DOWN) and {reason(on, n) for n in names} == {"NO_PATH"}, "they say why")
        await on.tell("F-zgc-cp", Status.UP)
        await until(lambda: on.all_are(State.UP), "all are up")
        assert not on.over(CUT)
        assert not any(reason(on, name) for name in names)


async def test_a_batch_that_another_controller_forestalls_is_made_one_by_one(database: str) -> None:
    async with bare(database) as on:
        await stand(on, [wanted(n, 5_000, isolation=Isolation.SOFT) for n in range(3)])
        commit_all, tries = on.store.commit_all, 0

        async def forestalled(changes: Any, *rest: Any) -> Any:
            nonlocal tries
            tries += len(changes) > 1
            if tries == 1 and len(changes) > 1:
                raise Conflict("claimed by another writer", reason="CONCURRENT_CHANGE")
            return await commit_all(changes, *rest)

        on.store.commit_all = forestalled  # type: ignore[method-assign]
        await on.tell(CUT, Status.DOWN)
        await until(lambda: tries and not on.over(CUT) and on.all_are(State.UP), "all have moved")


def reason(on: Bare, name: str) -> str:
    conditions = on.state.records[name].corridor.conditions
    return next((c.reason for c in conditions if c.type == "PathLost"), "")


@pytest.mark.parametrize("dies_after", [1, 2, 4])
async def test_a_crash_in_the_middle_of_a_batch_loses_nobody(
    database: str, dies_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after so many transactions of a restoration: what was stored goes on, what was not is looked after."""
    _portions_of(0.002, monkeypatch)
    async with bare(database) as on:
        await stand(on, [wanted(n, 5_000, isolation=Isolation.SOFT, priority=n) for n in range(5)])
        commit_all, stored, dead = on.store.commit_all, 0, asyncio.Event()

        async def dying(*arguments: Any) -> Any:
            nonlocal stored
            if stored == dies_after:
                await dead.wait()
                raise asyncio.CancelledError
            stored += 1
            return await commit_all(*arguments)

        on.store.commit_all = dying  # type: ignore[method-assign]
        await on.tell(CUT, Status.DOWN)
        await until(lambda: stored == dies_after, "some of it is stored")
        dead.set()
    async with bare(database) as on:
        await until(lambda: not on.over(CUT) and on.all_are(State.UP), "all have moved")


async def test_a_storm_of_cuts_and_mends_leaves_everybody_on_a_path_that_is_up(tmp_path: Path) -> None:
    network, database = SimulatedNetwork.wired(ring()), f"sqlite:///{tmp_path / 'corridor.db'}"
    controller = await Controller(network, database, stage_timeout_s=5.0).start(ring())
    try:
        await controller.bootstrapped()
        mixed = [Isolation.SOFT, Isolation.HARD]
        asked = [wanted(n, 5_000, isolation=mixed[n % 2], priority=n % 8) for n in range(8)]
        await stand(controller, asked)
        chance = random.Random(5)
        fibres = [CUT, "F-zgc-cp", "F-cp-tz", "F-tz-yz"]
        for _ in range(12):
            fibre = chance.choice(fibres)
            getattr(network, chance.choice(["cut", "mend"]))(fibre)
            await asyncio.sleep(chance.uniform(0, 0.05))
        for fibre in fibres:
            network.mend(fibre)
        await until(lambda: not controller.links_not(Status.UP), "all links are up")
        records, up = controller.state.records, (Stage.SETTLED, State.UP)
        everybody = records.values
        await until(lambda: all((r.stage, r.corridor.state) == up for r in everybody()), "all are up", PATIENCE_S)
        await controller.in_line()
    finally:
        await controller.stop()
