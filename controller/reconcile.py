"""Desired entries into devices: level-triggered, one serial worker per device, parallel across devices.

A pass applies the difference between what the device is known to hold and what it shall hold. What it holds is read
back in full on connect, after any error, and periodically; in between, the last confirmed state is good enough.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress

from controller.background import background, stopped
from controller.core.diff import changes
from controller.core.entries import Entry, Operation, Rejection
from controller.core.errors import DeviceError, DeviceRejected, DeviceUnreachable
from controller.drivers.device import Device

log = logging.getLogger(__name__)

Desired = Callable[[str], Mapping[Hashable, Entry]]
Read = Callable[[str, Mapping[Hashable, Entry]], None]

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 10.0


class Worker:
    """Keeps one device in line."""

    def __init__(self, device: Device, desired: Desired, when_read: Read, resync_s: float) -> None:
        self.device = device
        self._desired = desired
        self._when_read = when_read
        self._resync_s = resync_s
        self._actual: dict[Hashable, Entry] = {}
        self._trusted = False
        """False where the device must be read back before the next write."""
        self._read_at = asyncio.get_running_loop().time()
        """When it was last read back, or the worker began; by the loop's clock."""
        self._rejected: dict[Hashable, Rejection] = {}
        self._asked = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._dirty = asyncio.Event()
        self._failures = 0
        self.task = background(self._run(), f"reconcile {device.name}")

    def mark(self) -> int:
        """Dirty; returns the ticket that `reached` resolves for."""
        self._asked += 1
        self._dirty.set()
        return self._asked

    def forget(self) -> None:
        """What the device holds is unknown: read it back before the next write."""
        self._trusted = False
        self.mark()

    def reached(self, ticket: int) -> asyncio.Future[None]:
        """Resolves when a pass that began after the ticket was drawn is through."""
        self._waiting = [(asked, left) for asked, left in self._waiting if not left.done()]  # the others gave up
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, future))
        return future

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
                continue
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
        if not self._trusted:
            self._trusted = True  # before the read: a device that comes back meanwhile is read once more
            self._read_at = asyncio.get_running_loop().time()
            self._actual = dict(await self.device.read())
            self._when_read(self.device.name, self._actual)
        actual = self._actual
        writes = changes(actual, self._desired(self.device.name))
        rejections = await self.device.apply(writes) if writes else ()
        self._rejected = {r.change.entry.key: r for r in rejections}
        for change in writes:
            if change.entry.key in self._rejected:
                continue
            if change.operation is Operation.DELETE:
                actual.pop(change.entry.key, None)
            else:
                actual[change.entry.key] = change.entry
        if rejections:
            self._trusted = False
            log.warning("%s refused %s", self.device.name, "; ".join(f"{r.change}: {r.message}" for r in rejections))

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

    def add(self, device: Device) -> None:
        self._workers[device.name] = Worker(device, self._desired, self._read, self._resync_s)

    def _read(self, device: str, entries: Mapping[Hashable, Entry]) -> None:
        self.when_read(device, entries)

    def device(self, name: str) -> Device:
        return self._workers[name].device

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(worker.device for worker in self._workers.values())

    def connected(self, name: str) -> None:
        self._workers[name].forget()

    def mark(self, names: frozenset[str]) -> None:
        for name in names & self._workers.keys():
            self._workers[name].mark()

    async def converge(self, wanted: Mapping[str, frozenset[Hashable]], timeout_s: float) -> None:
        """Until the devices hold what is desired of them.

        `wanted`: per device, the keys that matter to the caller. Raises `DeviceUnreachable` when a device did not
        answer in time, `DeviceRejected` when it refused one of these keys.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        workers = [self._workers[name] for name in wanted if name in self._workers]
        waiting = {worker.reached(worker.mark()): worker for worker in workers}
        while waiting:
            _, late = await asyncio.wait(waiting, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
            for future in late:
                future.cancel()
            if late:
                device = waiting[late.pop()].device
                why = f": {device.trouble}" if device.trouble else ""
                raise DeviceUnreachable(device.name, f"not in line within {timeout_s:g} s{why}")
            refused = {worker: worker.rejected(wanted[worker.device.name]) for worker in workers}
            for worker, refusal in refused.items():
                if refusal and not refusal.transient:
                    raise DeviceRejected(worker.device.name, f"{refusal.code}: {refusal.message}")
            waiting = {worker.next_pass(): worker for worker, refusal in refused.items() if refusal}

    async def close(self) -> None:
        await stopped(worker.task for worker in self._workers.values())
