"""A switch of its own for a benchmark, and the barest client that it can have."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from finsy.proto import U128, p4r, p4r_grpc

from controller.drivers.p4runtime import P4RuntimeDevice
from controller.drivers.pipeline import Pipeline
from topologies.bmv2 import PROGRAM, command

DEVICE_ID, EPOCH = 1, 1
ELECTION_ID = EPOCH << 64
"""Of the first session of a controller of this epoch."""
PATIENCE_S = 20.0


def missing() -> bool:
    return shutil.which(PROGRAM) is None


class Listener:
    """Hears and forgets."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class BareStub:
    """The generated stub on a channel of its own: requests go as they are, answers come as they are.

    It quotes the election id of the one who is primary, which BMv2 takes.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._write: Any = p4r_grpc.P4RuntimeStub(self._channel).Write

    async def write(self, updates: Sequence[p4r.Update]) -> None:
        await self._write(
            p4r.WriteRequest(device_id=DEVICE_ID, election_id=U128.encode(ELECTION_ID), updates=updates), timeout=10
        )

    async def close(self) -> None:
        await self._channel.close(None)


@contextlib.asynccontextmanager
async def connected(pipeline: Pipeline) -> AsyncIterator[tuple[P4RuntimeDevice, BareStub]]:
    """The driver and the bare stub, both to one switch that has the pipeline and nothing else."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, _switch(Path(directory) / "p4rt.sock") as address:
        device = P4RuntimeDevice("switch", address, DEVICE_ID, EPOCH, Listener(), pipeline=pipeline)
        bare = BareStub(address)
        device.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not device.connected:  # noqa: ASYNC110 - the listener's word would come no sooner
                    await asyncio.sleep(0.05)
            yield device, bare
        finally:
            await bare.close()
            await device.close()


@contextlib.contextmanager
def _switch(path: Path) -> Iterator[str]:
    """Its address, while it runs."""
    switch = command([PROGRAM, "--thrift-port", str(_free_port())], DEVICE_ID, (), path)
    process = subprocess.Popen(switch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(path)
        yield f"unix:{path}"
    finally:
        process.kill()
        process.wait()


def _wait_for(path: Path) -> None:
    """Until it listens: a driver that comes too early is in its second session, with another election id."""
    deadline = time.monotonic() + PATIENCE_S
    with socket.socket(socket.AF_UNIX) as probe:
        while probe.connect_ex(str(path)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{PROGRAM} does not listen")
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
