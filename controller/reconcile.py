"""Desired entries into devices: level-triggered, one serial worker per device, parallel across devices.

A pass applies the difference between what the device is known to hold and what it shall hold. What it holds is read
back in full on connect, after any error, and periodically; in between, the last confirmed state is good enough.
A read-back that is at odds with what was confirmed shows what somebody else did: it is put right, and told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress

from controller.background import background, stopped
from controller.core.diff import changes
from controller.core.drift import ReadBack, foreign, lost_in_restart
from controller.core.entries import Change, Entry, Operation, Rejection
from controller.core.errors import DeviceError, DeviceRejected, DeviceUnreachable
from controller.deadline import within
from controller.drivers.device import Device

log = logging.getLogger(__name__)

Desired = Callable[[str], Mapping[Hashable, Entry]]
Read = Callable[[str, Mapping[Hashable, Entry]], None]

Repaired = Callable[[str, frozenset[Hashable]], None]

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 10.0
CALL_S = 10.0
"""What a device may take to answer, whatever is asked of it …"""
ENTRY_S = 0.005
"""… and for each entry that is read or written: a slow one with 10 000 of them has a minute."""


class Worker:
    """Keeps one device in line."""

    def __init__(
        self, device: Device, desired: Desired, when_read: Read, when_repaired: Repaired, resync_s: float
    ) -> None:
        self.device = device
        self._desired = desired
        self._when_read = when_read
        self._when_repaired = when_repaired
        self._resync_s = resync_s
        self._actual: dict[Hashable, Entry] = {}
        self._trusted = False
        """False where the device must be read back before the next write."""
        self._read_at = asyncio.get_running_loop().time()
        """When it was last read back, or the worker began; by the loop's clock."""
        self._rejected: dict[Hashable, Rejection] = {}
        self._doubtful: set[Hashable] = set()
        """Keys of writes of which no outcome is known."""
        self._reconnected = True
        """Whether its control stream is another than when it was read last: it may have been restarted."""
        self.reading: ReadBack | None = None
        """What it was found to hold when it was last read back."""
        self.repaired = 0
        """Entries that somebody else changed or removed, and that were put right."""
        self.repaired_at_s = 0.0
        self._failure = ""
        self._asked = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._dirty = asyncio.Event()
        self._dirty_keys: set[Hashable] | None = None
        """Where it may hold other than it shall since the last pass, if it is trusted; None: anywhere."""
        self._failures = 0
        self.task = background(self._run(), f"reconcile {device.name}")

    def mark(self, keys: Iterable[Hashable] | None = None) -> int:
        """Dirty, at these keys or, without, wherever that is; returns the ticket that `reached` resolves for."""
        if keys is None:
            self._dirty_keys = None
        elif self._dirty_keys is not None:
            self._dirty_keys.update(keys)
        self._asked += 1
        self._dirty.set()
        return self._asked

    def forget(self) -> int:
        """What the device holds is unknown: read it back before the next write. Returns the ticket of that pass."""
        self._trusted = False
        return self.mark()

    def connected(self) -> None:
        """It is there (again), and may have lost what it held."""
        self._reconnected = True
        self.forget()

    @property
    def held(self) -> Mapping[Hashable, Entry]:
        """What it is known to hold: as it was last read, and what was confirmed since."""
        return self._actual

    @property
    def trouble(self) -> str:
        """Why it is not connected, or what its last pass failed for; empty where all is well."""
        return self.device.trouble or self._failure

    def reached(self, ticket: int) -> asyncio.Future[None]:
        """Resolves when a pass that began after the ticket was drawn is through."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, future))
        return future

    def gave_up(self, late: Iterable[asyncio.Future[None]]) -> None:
        """Nobody waits for these any more."""
        for future in late:
            future.cancel()
        self._waiting = [(asked, left) for asked, left in self._waiting if not left.done()]

    def next_pass(self) -> asyncio.Future[None]:
        """Resolves after the next pass, whenever it comes: for what the worker will try again by itself."""
        return self.reached(self._asked)

    def rejected(self, keys: frozenset[Hashable]) -> Rejection | None:
        """What the last pass could not write of these keys; a refusal for good comes first."""
        found = [rejection for key, rejection in self._rejected.items() if key in keys]
        return min(found, key=lambda rejection: rejection.transient, default=None)

    async def _run(self) -> None:
        while True:
            # Not wait_for: before Python 3.12 it loses a cancellation that meets the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._dirty.wait()
            if not self._dirty.is_set() or self._until_read_back() <= 0:
                self._trusted = False  # periodic read-back, however often changes came in between
            self._dirty.clear()
            if not self.device.connected:
                continue
            ticket = self._asked
            try:
                await self._pass()
            except DeviceError as failure:
                log.warning("%s", failure)
                self._trusted = False
                self._failures += 1
                self._failure = failure.message
                continue
            self._failure = ""
            self._failures = 1 + self._failures if self._rejected else 0
            self._resolve(ticket)

    def _pause(self) -> float:
        """Until the next pass without being asked: the rest of the period, or a backoff with jitter after a failure."""
        if not self.device.connected:
            return self._resync_s
        if not self._failures:
            return self._until_read_back()
        backoff = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(self._failures - 1, 10))
        return float(backoff * random.uniform(0.8, 1.2))

    def _until_read_back(self) -> float:
        return self._read_at + self._resync_s - asyncio.get_running_loop().time()

    async def _pass(self) -> None:
        odd: frozenset[Hashable] = frozenset() if self._trusted else await self._read_back()
        writes = self._due()
        rejections = await self._write(writes) if writes else ()
        self._rejected = {r.change.entry.key: r for r in rejections}
        written = [change for change in writes if change.entry.key not in self._rejected]
        for change in written:
            if change.operation is Operation.DELETE:
                self._actual.pop(change.entry.key, None)
            else:
                self._actual[change.entry.key] = change.entry
        if rejections:
            self._trusted = False
            log.warning("%s refused %s", self.device.name, "; ".join(f"{r.change}: {r.message}" for r in rejections))
        self._report(odd.intersection(change.entry.key for change in written))

    def _due(self) -> Sequence[Change]:
        """What it lacks. A failure from here on makes the next pass read it, and look at everything."""
        desired, (keys, self._dirty_keys) = self._desired(self.device.name), (self._dirty_keys, set())
        if keys is None:
            return changes(self._actual, desired)
        held, wanted = ({key: part[key] for key in keys if key in part} for part in (self._actual, desired))
        return changes(held, wanted)

    async def _read_back(self) -> frozenset[Hashable]:
        """Keys at which it holds other than what was confirmed, and other than what it shall: somebody changed it."""
        name, known = self.device.name, self._actual
        self._trusted = True  # before the read: a device that comes back meanwhile is read once more
        self._dirty_keys = None
        self._read_at = asyncio.get_running_loop().time()
        first, self._reconnected, reconnected = self.reading is None, False, self._reconnected
        try:
            entries = max(len(known), len(self._desired(name)))
            async with within(name, CALL_S + ENTRY_S * entries, "a reading of its entries"):
                self._actual = dict(await self.device.read())
        except DeviceError:
            self._reconnected |= reconnected
            raise
        desired = self._desired(name)
        self.reading = ReadBack.of(desired, self._actual, self._read_at)
        self._when_read(name, self._actual)
        doubtful, self._doubtful = self._doubtful, set()
        if first:
            return frozenset()
        lost = lost_in_restart(known, self._actual) if reconnected else frozenset()
        if lost:
            log.warning("%s came back without %d entries: it was restarted", name, len(lost))
        return foreign(known, self._actual, desired) - lost - doubtful

    async def _write(self, writes: Sequence[Change]) -> Sequence[Rejection]:
        keys = {change.entry.key for change in writes}
        self._doubtful |= keys
        async with within(self.device.name, CALL_S + ENTRY_S * len(writes), f"a write of {len(writes)} entries"):
            rejections = await self.device.apply(writes)
        self._doubtful -= keys - {rejection.change.entry.key for rejection in rejections}
        return rejections

    def _report(self, repaired: frozenset[Hashable]) -> None:
        if not repaired:
            return
        self.repaired += len(repaired)
        self.repaired_at_s = asyncio.get_running_loop().time()
        log.warning("%s: %d entries were changed by somebody else, and are repaired", self.device.name, len(repaired))
        self._when_repaired(self.device.name, repaired)

    def _resolve(self, ticket: int) -> None:
        waiting, self._waiting = self._waiting, []
        for asked, future in waiting:
            if asked > ticket:
                self._waiting.append((asked, future))
            elif not future.done():
                future.set_result(None)


class Reconciler:
    """All devices, by name."""

    def __init__(self, desired: Desired, *, resync_s: float = 30.0) -> None:
        self._desired = desired
        self._resync_s = resync_s
        self._workers: dict[str, Worker] = {}
        self.when_read: Read = lambda _device, _entries: None
        """Called with what a device was read back to hold, before anything is written to it."""
        self.when_repaired: Repaired = lambda _device, _keys: None
        """Called with the keys of entries that somebody else changed or removed, and that were put right."""

    def add(self, device: Device) -> None:
        self._workers[device.name] = Worker(device, self._desired, self._read, self._repaired, self._resync_s)

    def _read(self, device: str, entries: Mapping[Hashable, Entry]) -> None:
        self.when_read(device, entries)

    def _repaired(self, device: str, keys: frozenset[Hashable]) -> None:
        self.when_repaired(device, keys)

    @property
    def workers(self) -> tuple[Worker, ...]:
        return tuple(self._workers.values())

    async def read_back(self, name: str) -> bool:
        """Read a device, in its turn, and put it right. False where it did not answer in time, or could not."""
        worker = self._workers[name]
        if not worker.device.connected:
            return False
        before = worker.reading
        through = worker.reached(worker.forget())
        limit_s = 2 * CALL_S + ENTRY_S * len(worker.held)
        _, late = await asyncio.wait({through}, timeout=limit_s)
        worker.gave_up(late)
        return worker.reading is not before

    def device(self, name: str) -> Device:
        return self._workers[name].device

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(worker.device for worker in self._workers.values())

    def connected(self, name: str) -> None:
        self._workers[name].connected()

    def mark(self, names: frozenset[str]) -> None:
        """Look at all that is desired of these devices."""
        for name in names & self._workers.keys():
            self._workers[name].mark()

    def changed(self, touched: Mapping[str, Iterable[Hashable]]) -> None:
        """What is desired of these devices has changed, at these keys."""
        for name, keys in touched.items():
            if name in self._workers:
                self._workers[name].mark(keys)

    async def converge(self, wanted: Mapping[str, frozenset[Hashable]], timeout_s: float) -> None:
        """Until the devices hold what is desired of them.

        `wanted`: per device, the keys that matter to the caller. Raises `DeviceUnreachable` when a device did not
        answer in time, `DeviceRejected` when it refused one of these keys.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        workers = [self._workers[name] for name in wanted if name in self._workers]
        waiting = {worker.reached(worker.mark(wanted[worker.device.name])): worker for worker in workers}
        while waiting:
            _, late = await asyncio.wait(waiting, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
            for future in late:
                waiting[future].gave_up([future])
            if late:
                worker = waiting[late.pop()]
                why = f": {worker.trouble}" if worker.trouble else ""
                raise DeviceUnreachable(worker.device.name, f"not in line within {timeout_s:g} s{why}")
            refused = {worker: worker.rejected(wanted[worker.device.name]) for worker in workers}
            for worker, refusal in refused.items():
                if refusal and not refusal.transient:
                    raise DeviceRejected(worker.device.name, f"{refusal.code}: {refusal.message}")
            waiting = {worker.next_pass(): worker for worker, refusal in refused.items() if refusal}

    async def close(self) -> None:
        await stopped(worker.task for worker in self._workers.values())
