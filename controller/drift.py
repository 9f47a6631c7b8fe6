"""Desired against actual, device by device, and the reading back that it rests on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from controller.core.drift import DeviceDrift, Drift, differences
from controller.core.model import Node
from controller.reconcile import Reconciler, Worker
from controller.state import NetworkState

NOT_LISTED = "it is not in the inventory"


async def drift(state: NetworkState, *, read_now: bool) -> Drift:
    """As the devices are known to be; with `read_now` as each that answers was found, before it was put right."""
    reconciler = state.reconciler
    fresh: set[str] = set()
    if read_now:
        names = sorted(device.name for device in reconciler.devices if device.connected)
        answered = await asyncio.gather(*(reconciler.read_back(name) for name in names))
        fresh = {name for name, did in zip(names, answered, strict=True) if did}
    return Drift(
        tuple(
            _of_device(state, worker, as_read=worker.device.name in fresh)
            for worker in sorted(reconciler.workers, key=lambda worker: worker.device.name)
        )
    )


def with_troubles(nodes: Iterable[Node], reconciler: Reconciler) -> tuple[Node, ...]:
    """Nodes with why there is no connection to them, where there is none."""
    troubles = {device.name: device.trouble for device in reconciler.devices}
    return tuple(replace(node, trouble=troubles.get(node.name, NOT_LISTED)) for node in nodes)


def _of_device(state: NetworkState, worker: Worker, *, as_read: bool) -> DeviceDrift:
    name, reading = worker.device.name, worker.reading
    desired = state.desired(name)
    if reading is None:
        return DeviceDrift(name, worker.device.connected, worker.trouble, len(desired))
    found = differences(reading.desired, reading.actual) if as_read else differences(desired, worker.held)
    ago = asyncio.get_running_loop().time()
    now = state.now()
    return DeviceDrift(
        name,
        worker.device.connected,
        worker.trouble,
        len(desired),
        *found,
        now - timedelta(seconds=ago - reading.at_s),
        worker.repaired,
        now - timedelta(seconds=ago - worker.repaired_at_s) if worker.repaired else None,
    )
