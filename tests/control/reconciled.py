"""A reconciler over devices in memory that keep, refuse, hang and fail as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from controller.core.entries import Change, Entry, Operation, Rejection, SliceMeter
from controller.core.errors import DeviceUnreachable
from controller.core.model import Capabilities
from controller.reconcile import Reconciler


def meter(number: int, rate: int = 1) -> SliceMeter:
    return SliceMeter(number, 0, rate, 1)


def table(*entries: Entry) -> dict[Hashable, Entry]:
    return {entry.key: entry for entry in entries}


@dataclass
class Fake:
    """Holds entries; `gate` closed keeps an exchange waiting, `fault` is raised or returned by the next ones."""

    name: str
    connected: bool = True
    trouble: str = ""
    capabilities: Capabilities = field(default_factory=Capabilities)
    entries: dict[Hashable, Entry] = field(default_factory=dict)
    reads: int = 0
    batches: list[list[Change]] = field(default_factory=list)
    busy: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    faults: int = 0
    refused: frozenset[Hashable] = frozenset()
    transient: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    async def read(self) -> Mapping[Hashable, Entry]:
        self.reads += 1
        held = dict(self.entries)
        await self._exchange()
        return held

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        self.batches.append(list(changes))
        await self._exchange()
        rejections = []
        for change in changes:
            if change.entry.key in self.refused:
                rejections.append(Rejection(change, "NO", "no", self.transient))
            elif change.operation is Operation.DELETE:
                self.entries.pop(change.entry.key, None)
            else:
                self.entries[change.entry.key] = change.entry
        return rejections

    async def send_frame(self, port: int, frame: bytes) -> None: ...

    async def close(self) -> None: ...

    async def _exchange(self) -> None:
        assert not self.busy, "one exchange at a time"
        self.busy += 1
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.busy -= 1
        if self.faults or not self.connected:
            self.faults -= 1
            raise DeviceUnreachable(self.name, "as told")


@dataclass
class Bench:
    """A reconciler over fakes, and what is desired of each."""

    desired: dict[str, dict[Hashable, Entry]]
    fakes: dict[str, Fake]
    reconciler: Reconciler

    def wants(self, name: str, *entries: Entry) -> None:
        self.desired[name] = table(*entries)

    async def converge(self, *names: str, timeout_s: float = 5.0) -> None:
        self.mark(*names)  # what was wanted before is perhaps wanted no more
        await self.reconciler.converge({n: frozenset(self.desired[n]) for n in names}, timeout_s)

    def mark(self, *names: str) -> None:
        self.reconciler.mark(frozenset(names))


Start = Callable[..., Bench]


@asynccontextmanager
async def starting() -> AsyncIterator[Start]:
    """What begins a bench of devices by name; all are closed in the end."""
    benches: list[Bench] = []

    def begin(*names: str, resync_s: float = 30.0) -> Bench:
        desired: dict[str, dict[Hashable, Entry]] = {name: {} for name in names}
        bench = Bench(desired, {name: Fake(name) for name in names}, Reconciler(desired.__getitem__, resync_s=resync_s))
        benches.append(bench)
        for fake in bench.fakes.values():
            bench.reconciler.add(fake)
        return bench

    yield begin
    for bench in benches:
        for fake in bench.fakes.values():
            fake.gate.set()
        async with asyncio.timeout(2):
            await bench.reconciler.close()
