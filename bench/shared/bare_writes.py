"""The floor of a restoration: its writes to packet nodes by bare stubs, and a sync of a file for each transaction."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc
from finsy.proto import U128, p4r, p4r_grpc
from shared.restored_network import Running

from controller.core.entries import Change, GroupEntry, TableEntry
from controller.core.model import NodeKind
from controller.drivers import pipeline
from controller.drivers.p4runtime_codec import encode
from controller.drivers.p4runtime_write import BATCH

PROGRAM = pipeline.load()
PAGE = bytes(4096)


async def floor_s(running: Running) -> float:
    """Seconds, requests made beforehand; the packet nodes side by side, then the syncs."""
    routers = [node.name for node in running.model.plan.nodes if node.kind is NodeKind.ROUTER]
    places = {name: running.directory / f"r{number}" for number, name in enumerate(routers, 1)}
    requests: dict[str, list[Any]] = {name: [] for name in routers}
    for name, changes in running.written.batches:
        requests[name] += _requests(changes)
    began = time.perf_counter()
    await asyncio.gather(*(_write(places[name], each) for name, each in requests.items()))
    await asyncio.to_thread(_sync, running.directory / "floor", running.written.commits)
    return time.perf_counter() - began


def _requests(changes: Sequence[Change]) -> list[Any]:
    found = []
    for _, run in groupby(changes, key=lambda change: (change.operation, _table(change))):
        updates = [encode(PROGRAM, change) for change in run]
        parts = [updates[start : start + BATCH] for start in range(0, len(updates), BATCH)]
        found += [p4r.WriteRequest(device_id=1, election_id=U128.encode(1), updates=part) for part in parts]
    return found


def _table(change: Change) -> str | None:
    return change.entry.table if isinstance(change.entry, TableEntry | GroupEntry) else None


async def _write(place: Path, requests: Sequence[Any]) -> None:
    async with grpc.aio.insecure_channel(f"unix:{place}") as channel:
        stub: Any = p4r_grpc.P4RuntimeStub(channel)
        for request in requests:
            await stub.Write(request)


def _sync(file: Path, times: int) -> None:
    with file.open("wb") as out:
        for _ in range(times):
            out.write(PAGE)
            out.flush()
            os.fsync(out.fileno())
