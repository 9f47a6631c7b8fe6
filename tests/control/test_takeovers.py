"""Controllers take over from one another at random, in the middle of what the one before does, on one database.

What was acknowledged stands in the end, what was refused does not, and no device takes a word from a controller of the
past. Devices fence as Open vSwitch and the Linux target do: by the highest epoch that has connected.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from running_controller import Controller, corridor
from simulated_network import SimulatedNetwork
from waiting import until

from controller.core.entries import Change, Rejection
from controller.core.errors import Conflict, DeviceUnreachable
from controller.core.model import Corridor, Isolation, State, Status
from controller.follower import Replica
from controller.store import Store

PARENT = "tenants/default"
ENDS = (("zgc-r:campus", "yz-r:dc"), ("ft-r:office", "cp-r:dc"), ("sg-r:dc", "tz-r:cell"))


@dataclass
class Fences:
    """Per device, the highest epoch that has connected; and of each write, by which epoch it was made."""

    highest: dict[str, int] = field(default_factory=dict)
    written: list[tuple[str, int, int]] = field(default_factory=list)
    """(device, epoch of the writer, highest epoch at that moment)"""


class FencedDevice:
    """A device as one controller reaches it."""

    def __init__(self, device: Any, fences: Fences, owner: Contender) -> None:
        self.device, self.fences, self.owner = device, fences, owner
        self.listener: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    @property
    def connected(self) -> bool:
        return self.listener is not None and not self._fenced

    @connected.setter
    def connected(self, up: bool) -> None:
        assert not up

    @property
    def _fenced(self) -> bool:
        return self.fences.highest.get(self.device.name, 0) > self.owner.epoch

    def connect(self) -> None:
        self.fences.highest[self.device.name] = self.owner.epoch
        self.device.listener = self.listener
        self.device.connect()

    def _require(self) -> None:
        if self._fenced:
            raise DeviceUnreachable(self.device.name, "another controller is primary")

    async def read(self) -> Any:
        self._require()
        return await self.device.read()

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        self._require()
        name = self.device.name
        self.fences.written.append((name, self.owner.epoch, self.fences.highest[name]))
        return cast(Sequence[Rejection], await self.device.apply(changes))

    async def send_frame(self, port: int, frame: bytes) -> None:
        self._require()
        await self.device.send_frame(port, frame)

    async def resize(self, slice_id: int, count: int) -> None:
        self._require()
        await self.device.resize(slice_id, count)

    async def force(self, slice_id: int, count: int) -> None:
        self._require()
        await self.device.force(slice_id, count)


class Reached:
    """The network as one controller reaches it."""

    def __init__(self, network: SimulatedNetwork, fences: Fences, owner: Contender) -> None:
        self.network = network
        self.devices = {name: FencedDevice(device, fences, owner) for name, device in network.devices.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


class Contender(Controller):
    """A controller that another one may take over from while it runs."""

    epoch = 0

    @classmethod
    async def begun(cls, network: SimulatedNetwork, fences: Fences, database: str) -> Contender:
        contender = cls(network, database)
        contender.network = cast(SimulatedNetwork, Reached(network, fences, contender))
        await contender.start()
        return contender

    async def abandon(self) -> None:
        """What a process that ends leaves: nothing runs any more."""
        for each in (self.discovery, self.restoration, self.audit, self.repairs, self.progress):
            await each.close()
        await self.state.reconciler.close()
        await self.store.close()

    def _fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, Conflict) and error.reason == "FENCED"):
            super()._fault(loop, context)


@dataclass
class History:
    """Corridors with the profile that was acknowledged last, None for those that are deleted."""

    dice: random.Random
    stands: dict[str, str | None] = field(default_factory=dict)

    async def change(self, controller: Contender) -> None:
        """One request: create, switch or delete. Refused as FENCED, it must not have happened."""
        number = self.dice.randrange(len(ENDS))
        name = f"{PARENT}/corridors/c{number}"
        known = self.stands.get(name)
        if known is None and name in controller.state.records:
            return  # on its way out
        try:
            if known is None:
                asked = corridor(*ENDS[number], isolation=Isolation.SOFT)
                await controller.service.create_corridor(PARENT, f"c{number}", asked)
                self.stands[name] = "inference"
            elif self.dice.random() < 0.25:
                await controller.service.delete_corridor(name)
                self.stands[name] = None
            else:
                profile = self.dice.choice(("training", "inference"))
                await controller.service.switch_profile(name, profile)
                self.stands[name] = profile
        except Conflict as refused:
            if refused.reason not in ("FENCED", "CHANGE_UNDER_WAY"):
                raise


@pytest.mark.parametrize("seed", range(3))
async def test_takeovers_lose_nothing_and_fence_the_past(
    network: SimulatedNetwork, either_database: str, seed: int
) -> None:
    fences, history = Fences(), History(random.Random(seed))
    leader = await Contender.begun(network, fences, either_database)
    await leader.bootstrapped()
    for _ in range(3):
        for _ in range(history.dice.randrange(1, 4)):
            await history.change(leader)
        asking = asyncio.create_task(history.change(leader))
        for _ in range(history.dice.randrange(40)):
            await asyncio.sleep(0)
        successor = await Contender.begun(network, fences, either_database)
        await asking
        assert successor.epoch == leader.epoch + 1
        late = corridor("zgc-r:acme", "yz-r:acme", isolation=Isolation.SOFT)
        with pytest.raises(Conflict) as refused:
            await leader.service.create_corridor("tenants/acme", "late", late)
        assert refused.value.reason == "FENCED"
        await leader.abandon()
        leader = successor
        await until(lambda now=leader: not now.links_not(Status.UP), "all links are found again")  # type: ignore[misc]
    await leader.settled(*leader.state.records)
    await until(lambda: not _leaving(leader), "deletions are through")
    assert found(leader) == {name: profile for name, profile in history.stands.items() if profile is not None}
    await leader.in_line()
    assert not leader.faults
    assert all(epoch == highest for _, epoch, highest in fences.written)
    await leader.abandon()


def _leaving(controller: Controller) -> list[str]:
    return [name for name, each in controller.state.records.items() if each.corridor.state is State.DELETING]


def found(controller: Controller) -> dict[str, str]:
    return {name: each.corridor.active_profile for name, each in controller.state.records.items()}


async def test_a_replica_follows_and_outlives_the_lead(network: SimulatedNetwork, either_database: str) -> None:
    """It tells the same as the leader, of which it hears by the database alone, also when another one leads."""
    fences = Fences()
    leader = await Contender.begun(network, fences, either_database)
    await leader.bootstrapped()
    await leader.service.create_corridor(PARENT, "c0", corridor(isolation=Isolation.SOFT))
    store = await Store.open(either_database)
    replica = Replica(store, leader.state.topology)
    replica.start()
    await until(lambda: replica.loaded, "it has read all")
    queue = replica.watch()
    await leader.settled(f"{PARENT}/corridors/c0")
    successor = await Contender.begun(network, fences, either_database)
    await leader.abandon()
    await successor.bootstrapped()
    await successor.service.switch_profile(f"{PARENT}/corridors/c0", "training")
    await successor.settled(f"{PARENT}/corridors/c0")

    def told() -> dict[str, Corridor]:
        return {name: each.corridor for name, each in replica.records.items()}

    def kept() -> dict[str, Corridor]:
        return {name: each.corridor for name, each in successor.state.records.items()}

    await until(lambda: told() == kept() and replica.sequence == successor.state.sequence, "it is up to date")
    heard = [queue.get_nowait().sequence for _ in range(queue.qsize())]
    assert heard == list(range(heard[0], replica.sequence + 1))
    await successor.service.delete_corridor(f"{PARENT}/corridors/c0")
    await until(lambda: not replica.records, "it hears of the end")
    await replica.close()
    await store.close()
    await successor.abandon()
