"""A packet node over P4Runtime 1.3: one contract (`p4/corridor.p4`), whatever target is behind it.

The device is level-triggered: it connects for ever, becomes primary with the controller's epoch as election id, sees
to it that our pipeline is in place, and from then on reads and writes entries of the core.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import grpc
from finsy.proto import p4r
from google.protobuf.struct_pb2 import Struct

from controller.background import background
from controller.core.entries import Change, Entry, Operation, Rejection, TableEntry
from controller.core.errors import DeviceUnreachable
from controller.core.model import Capabilities, Liveness
from controller.drivers.device import DeviceListener
from controller.drivers.p4runtime_codec import (
    Unencodable,
    decode,
    decode_frame,
    encode,
    encode_frame,
    read_request,
)
from controller.drivers.p4runtime_session import P4RuntimeSession, SessionLost, UpdateError, WriteFailed
from controller.drivers.pipeline import Pipeline

log = logging.getLogger(__name__)

BATCH = 100
HEARTBEAT_S = 5.0
BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 10.0

TRANSIENT = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED"})
_TRANSIENT_WHOLE = TRANSIENT | {"CANCELLED", "PERMISSION_DENIED", "FAILED_PRECONDITION"}
"""A write refused as a whole: besides the above, we are not primary any more or the pipeline is gone."""

_BMV2 = Capabilities(
    shaping=False, liveness=Liveness.LOCAL_PORT, max_carriers=3, mtu_bytes=9000, resolves_neighbors=False, fenced=False
)
"""What a target that announces nothing can do: BMv2 polices and accepts a quoted election id from anyone."""


@dataclass(frozen=True, slots=True)
class _Write:
    change: Change
    update: p4r.Update


class P4RuntimeDevice:
    """One packet node. `start` begins to connect, `close` ends all; the listener hears of everything between."""

    def __init__(
        self,
        name: str,
        address: str,
        device_id: int,
        epoch: int,
        listener: DeviceListener,
        *,
        pipeline: Pipeline,
        credentials: grpc.ChannelCredentials | None = None,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._name = name
        self._address = address
        self._device_id = device_id
        self._epoch = epoch
        self._listener = listener
        self._pipeline = pipeline
        self._credentials = credentials
        self._heartbeat_s = heartbeat_s
        self._capabilities = _BMV2
        self._ready: P4RuntimeSession | None = None
        self._runner: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        """Primary, with our pipeline in place."""
        return self._ready is not None

    @property
    def capabilities(self) -> Capabilities:
        """As announced at the last connection."""
        return self._capabilities

    def start(self) -> None:
        """Connect in the background, for ever; needs a running event loop."""
        if self._runner is None:
            self._runner = background(self._run(), f"p4runtime {self._name}")

    async def close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await runner

    async def read(self) -> Mapping[Hashable, Entry]:
        session = self._session()
        try:
            entities = await session.read(read_request(self._pipeline))
        except SessionLost as lost:
            raise DeviceUnreachable(self._name, str(lost)) from None
        entries = (decode(self._pipeline, entity) for entity in entities)
        return {entry.key: entry for entry in entries if entry is not None}

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        session = self._session()
        writes, rejections = self._encode(changes)
        batches = list(_batches(writes))
        for position, batch in enumerate(batches):
            try:
                rejections += await self._write(session, batch)
            except WriteFailed as failed:
                untried = [write for rest in batches[position:] for write in rest]
                transient = failed.code in _TRANSIENT_WHOLE
                return rejections + [Rejection(w.change, failed.code, failed.message, transient) for w in untried]
        return rejections

    async def send_frame(self, port: int, frame: bytes) -> None:
        session = self._session()
        try:
            await session.send_packet(encode_frame(self._pipeline, port, frame))
        except SessionLost as lost:
            raise DeviceUnreachable(self._name, str(lost)) from None

    def _session(self) -> P4RuntimeSession:
        if self._ready is None:
            raise DeviceUnreachable(self._name, "no control stream")
        return self._ready

    # ---- writing

    def _encode(self, changes: Sequence[Change]) -> tuple[list[_Write], list[Rejection]]:
        writes, rejections = [], []
        for change in changes:
            try:
                writes.append(_Write(change, encode(self._pipeline, change)))
            except Unencodable as error:
                rejections.append(Rejection(change, "INVALID_ARGUMENT", str(error)))
        return writes, rejections

    async def _write(self, session: P4RuntimeSession, batch: Sequence[_Write]) -> list[Rejection]:
        """One batch. What is there already is modified, what is gone already needs no removal."""
        errors = await session.write([write.update for write in batch])
        again: list[_Write] = []
        rejections = []
        for error in errors:
            write = batch[error.index]
            other = _OTHER_WAY.get((write.change.operation, error.code))
            if other is not None:
                again.append(_Write(write.change, _with_type(write.update, other)))
            elif (write.change.operation, error.code) != (Operation.DELETE, "NOT_FOUND"):
                rejections.append(_rejection(write, error))
        if again:
            rejections += [
                _rejection(again[error.index], error) for error in await session.write([w.update for w in again])
            ]
        return rejections

    # ---- connecting

    async def _run(self) -> None:
        backoff = BACKOFF_FIRST_S
        while True:
            had_stood = False
            try:
                await self._connection()
            except* SessionLost as lost:
                had_stood = self.connected
                log.info("%s: %s", self._name, lost.exceptions[0])
            finally:
                self._set_ready(None)
            backoff = BACKOFF_FIRST_S if had_stood else min(2 * backoff, BACKOFF_LAST_S)
            # Full jitter: a restarted controller must not meet all its devices in the same instant.
            await asyncio.sleep(random.uniform(backoff / 2, backoff))

    async def _connection(self) -> None:
        """One session from arbitration to loss; always ends by raising `SessionLost` in a group."""
        async with (
            P4RuntimeSession(self._address, self._device_id, self._epoch, self._credentials) as session,
            asyncio.TaskGroup() as group,
        ):
            tending = self._arbitrated(session, group, None, await session.arbitrate())
            async for message in session.messages():
                if message.HasField("arbitration"):
                    tending = self._arbitrated(session, group, tending, message.arbitration)
                elif message.HasField("packet") and self.connected:
                    self._listener.frame_received(self._name, *decode_frame(self._pipeline, message.packet))

    def _arbitrated(
        self,
        session: P4RuntimeSession,
        group: asyncio.TaskGroup,
        tending: asyncio.Task[None] | None,
        update: p4r.MasterArbitrationUpdate,
    ) -> asyncio.Task[None] | None:
        """Start tending the device when this controller becomes primary, stop when it ceases to be."""
        primary = update.status.code == 0
        if primary and tending is None:
            return group.create_task(self._tend(session))
        if not primary and tending is not None:
            tending.cancel()
            self._set_ready(None)
            return None
        return tending

    async def _tend(self, session: P4RuntimeSession) -> None:
        """Put the pipeline in place, then watch that it stays; a silent device ends the session."""
        self._capabilities = _capabilities(await session.capabilities())
        if await session.cookie() != self._pipeline.cookie:
            # Only where it differs: the same pipeline pushed again would empty the tables under running traffic.
            await session.push(self._config())
        self._set_ready(session)
        while True:
            await asyncio.sleep(self._heartbeat_s)
            if await session.cookie() != self._pipeline.cookie:
                raise SessionLost("the pipeline was replaced")

    def _config(self) -> p4r.ForwardingPipelineConfig:
        cookie = p4r.ForwardingPipelineConfig.Cookie(cookie=self._pipeline.cookie)
        return p4r.ForwardingPipelineConfig(
            p4info=self._pipeline.p4info, p4_device_config=self._pipeline.device_config, cookie=cookie
        )

    def _set_ready(self, session: P4RuntimeSession | None) -> None:
        was, self._ready = self._ready, session
        if session is not None and was is None:
            self._listener.device_connected(self._name)
        elif session is None and was is not None:
            self._listener.device_disconnected(self._name)


_OTHER_WAY = {
    (Operation.INSERT, "ALREADY_EXISTS"): p4r.Update.MODIFY,
    (Operation.MODIFY, "NOT_FOUND"): p4r.Update.INSERT,
}


def _batches(writes: Sequence[_Write]) -> Iterator[list[_Write]]:
    """Runs of one operation on one table, at most `BATCH` long.

    A device may reorder the updates within a batch, but not across batches (P4Runtime, "Batching and Ordering of
    Updates").
    """
    for _, run in groupby(writes, key=_kind):
        members = list(run)
        for start in range(0, len(members), BATCH):
            yield members[start : start + BATCH]


def _kind(write: _Write) -> tuple[Operation, str]:
    entry = write.change.entry
    return write.change.operation, entry.table if isinstance(entry, TableEntry) else ""


def _with_type(update: p4r.Update, kind: p4r.Update.Type.ValueType) -> p4r.Update:
    return p4r.Update(type=kind, entity=update.entity)


def _rejection(write: _Write, error: UpdateError) -> Rejection:
    return Rejection(write.change, error.code, error.message, error.code in TRANSIENT)


def _capabilities(response: p4r.CapabilitiesResponse | None) -> Capabilities:
    """What the device announces in the response's extension; anything not announced is as on BMv2."""
    announced = Struct()
    if response is None or not response.experimental.Unpack(announced):
        return _BMV2
    said = dict(announced.items())
    return Capabilities(
        shaping=bool(said.get("shaping", _BMV2.shaping)),
        liveness=Liveness.REMOTE if said.get("liveness") == Liveness.REMOTE else Liveness.LOCAL_PORT,
        max_carriers=_whole(said.get("maxCarriers"), _BMV2.max_carriers),
        mtu_bytes=_whole(said.get("mtuBytes"), _BMV2.mtu_bytes),
        resolves_neighbors=bool(said.get("resolvesNeighbors", _BMV2.resolves_neighbors)),
        fenced=bool(said.get("fenced", _BMV2.fenced)),
    )


def _whole(value: object, otherwise: int) -> int:
    return int(value) if isinstance(value, int | float) else otherwise
