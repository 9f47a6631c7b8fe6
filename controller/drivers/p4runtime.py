"""A packet node over P4Runtime 1.3: one contract (`p4/corridor.p4`), whatever target is behind it.

The device is level-triggered: it connects for ever, becomes primary with the controller's epoch in the election id,
sees to it that our pipeline is in place, and from then on reads and writes entries of the core.

An election id is the epoch in its high 64 bits and the number of the session in its low ones. So each new session
outbids the one before it, whose stream a device keeps for as long as nobody tells it that the path is gone; and the
small numbers that tools bid are below every controller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence

import grpc
from finsy.proto import U128, p4r, rpc_code
from google.protobuf.struct_pb2 import Struct

from controller.background import background
from controller.core.entries import Change, Entry, MeterEntry, Rejection
from controller.core.errors import DeviceRejected, DeviceUnreachable
from controller.core.model import Capabilities, Liveness
from controller.drivers.device import DeviceListener, PathWatch
from controller.drivers.p4runtime_codec import (
    counter_request,
    decode,
    decode_counters,
    decode_frame,
    encode_frame,
    probe_request,
    read_request,
)
from controller.drivers.p4runtime_fields import Unencodable
from controller.drivers.p4runtime_meters import MeterCells
from controller.drivers.p4runtime_session import ElectionIdTaken, P4RuntimeSession, ReadRefused, SessionLost
from controller.drivers.p4runtime_watch import decode_watch
from controller.drivers.p4runtime_write import write
from controller.drivers.pipeline import Pipeline

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 10.0

_SESSION_BITS = 64
_LAST_SESSION = (1 << _SESSION_BITS) - 1

_BMV2 = Capabilities(
    shaping=False, liveness=Liveness.LOCAL_PORT, max_carriers=3, mtu_bytes=9000, resolves_neighbors=False, fenced=False
)
"""What a target that announces nothing can do: BMv2 polices and accepts a quoted election id from anyone."""


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
        self._meters = MeterCells()
        self._next_session = 0
        self._highest_epoch = 0
        """Of all that were primary on this device, as far as this controller has heard."""
        self._trouble = "not connected yet"
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
    def fenced_off(self) -> bool:
        """A newer controller has been primary here: this one never writes again, even if it is promoted.

        A device may do that when the newer one leaves, whose work would be undone. A restart, or the next lease,
        comes with a higher epoch.
        """
        return self._highest_epoch > self._epoch

    @property
    def trouble(self) -> str:
        if self.connected:
            return ""
        return self._fence if self.fenced_off else self._trouble

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
        request = [*read_request(self._pipeline), *self._meters.request(self._pipeline)]
        try:
            entities = await session.read(request)
        except (SessionLost, ReadRefused) as failed:
            raise DeviceUnreachable(self._name, str(failed)) from None
        entries = [entry for entity in entities if (entry := decode(self._pipeline, entity)) is not None]
        cells = self._meters.read([entry for entry in entries if isinstance(entry, MeterEntry)])
        return {entry.key: entry for entry in (*entries, *cells)}

    async def counters(self, name: str, cells: Iterable[int] | None = None) -> Mapping[int, tuple[int, int]]:
        """(packets, octets) of the cells of a counter that are not zero, by index: of these cells, or of all.

        An array is read as a whole however large it is, and holds the device's other work up meanwhile: ask for cells
        where they are known. Raises `DeviceUnreachable`, and `DeviceRejected` where the device has no such counter.
        """
        session, counter = self._session(), self._pipeline.counters.get(name)
        if counter is None:
            raise DeviceRejected(self._name, f"no counter {name} in the pipeline")
        try:
            return decode_counters(await session.read(counter_request(counter, cells)))
        except SessionLost as lost:
            raise DeviceUnreachable(self._name, str(lost)) from None
        except (ReadRefused, Unencodable) as refused:
            raise DeviceRejected(self._name, str(refused)) from None

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        session = self._session()
        left = self._meters.unmet(changes)
        rejections = await write(session, self._pipeline, left, lambda: self._ready is session)
        self._meters.wrote(changes, rejections)
        return rejections

    async def send_frame(self, port: int, frame: bytes) -> None:
        session = self._session()
        try:
            await session.send_packet(encode_frame(self._pipeline, port, frame))
        except SessionLost as lost:
            raise DeviceUnreachable(self._name, str(lost)) from None

    def _session(self) -> P4RuntimeSession:
        if self._ready is None:
            raise DeviceUnreachable(self._name, self.trouble)
        return self._ready

    @property
    def _fence(self) -> str:
        return f"fenced off: epoch {self._highest_epoch} has been primary here, this controller has {self._epoch}"

    # ---- connecting

    async def _run(self) -> None:
        backoff = BACKOFF_FIRST_S
        while True:
            had_stood = False
            try:
                await self._connection()
            except* ElectionIdTaken as taken:
                self._trouble = f"somebody else has epoch {self._epoch} there: {_first(taken)}"
                log.warning("%s: %s", self._name, self._trouble)
            except* SessionLost as lost:
                had_stood = self.connected
                self._trouble = f"no control stream: {_first(lost)}"
                log.info("%s: %s", self._name, self._trouble)
            finally:
                self._set_ready(None)
            backoff = BACKOFF_FIRST_S if had_stood else min(2 * backoff, BACKOFF_LAST_S)
            # Full jitter: a restarted controller must not meet all its devices in the same instant.
            await asyncio.sleep(random.uniform(backoff / 2, backoff))

    async def _connection(self) -> None:
        """One session from arbitration to loss; always ends by raising `SessionLost` in a group."""
        async with (
            P4RuntimeSession(self._address, self._device_id, self._election_id(), self._credentials) as session,
            asyncio.TaskGroup() as group,
        ):
            tending = self._arbitrated(session, group, None, await session.arbitrate())
            async for message in session.messages():
                if message.HasField("arbitration"):
                    tending = self._arbitrated(session, group, tending, message.arbitration)
                elif message.HasField("packet") and self.connected:
                    self._listener.frame_received(self._name, *decode_frame(self._pipeline, message.packet))
                elif message.HasField("other") and not self.fenced_off:
                    # Also before it is ready: all is told once, behind the arbitration.
                    self._watched(decode_watch(message.other))

    def _watched(self, watch: PathWatch | None) -> None:
        if watch is not None:
            self._listener.path_watched(self._name, watch)

    def _election_id(self) -> int:
        """Of a new session."""
        number, self._next_session = self._next_session, min(self._next_session + 1, _LAST_SESSION)
        return self._epoch << _SESSION_BITS | number

    def _arbitrated(
        self,
        session: P4RuntimeSession,
        group: asyncio.TaskGroup,
        tending: asyncio.Task[None] | None,
        update: p4r.MasterArbitrationUpdate,
    ) -> asyncio.Task[None] | None:
        """Start tending the device when this controller becomes primary, stop when it ceases to be.

        Raises `SessionLost` where the device has no primary: it keeps the place for whoever bids more.
        """
        self._heard(U128.decode(update.election_id))
        primary = update.status.code == rpc_code.OK and not self.fenced_off
        if primary and tending is None:
            return group.create_task(self._tend(session))
        if not primary and tending is not None:
            tending.cancel()
            self._set_ready(None)
            tending = None
        if update.status.code == rpc_code.NOT_FOUND and not self.fenced_off:
            raise SessionLost("the primary there has left")
        return tending

    def _heard(self, election_id: int) -> None:
        """Of the highest id that somebody has on the device: of a newer controller, or a higher one of our epoch."""
        epoch, session = divmod(election_id, 1 << _SESSION_BITS)
        was_fenced = self.fenced_off
        self._highest_epoch = max(self._highest_epoch, epoch)
        if self.fenced_off and not was_fenced:
            log.warning("%s: %s", self._name, self._fence)
        if epoch == self._epoch and session >= self._next_session:
            self._next_session = min(session + 1, _LAST_SESSION)
            self._trouble = f"somebody else has epoch {epoch} there"
            log.warning("%s: %s", self._name, self._trouble)

    async def _tend(self, session: P4RuntimeSession) -> None:
        """Put the pipeline in place, then watch that it stays; a silent device ends the session."""
        self._capabilities = _capabilities(await session.capabilities())
        if not await self._programmed(session):
            # Only where it differs: the same pipeline pushed again would empty the tables under running traffic.
            await session.push(self._config())
        self._set_ready(session)
        while True:
            await asyncio.sleep(self._heartbeat_s)
            if not await self._programmed(session):
                raise SessionLost("the pipeline was replaced")

    async def _programmed(self, session: P4RuntimeSession) -> bool:
        """Whether our pipeline is in place.

        BMv2 keeps the cookie of a program that a later, failed push has replaced, or takes any cookie with no program
        at all: then it can read nothing.
        """
        if await session.cookie() != self._pipeline.cookie:
            return False
        try:
            await session.read(probe_request(self._pipeline))
        except ReadRefused as refused:
            return refused.code != "UNKNOWN"
        return True

    def _config(self) -> p4r.ForwardingPipelineConfig:
        cookie = p4r.ForwardingPipelineConfig.Cookie(cookie=self._pipeline.cookie)
        return p4r.ForwardingPipelineConfig(
            p4info=self._pipeline.p4info, p4_device_config=self._pipeline.device_config, cookie=cookie
        )

    def _set_ready(self, session: P4RuntimeSession | None) -> None:
        was, self._ready = self._ready, session
        if session is not None and was is None:
            self._meters.forget()
            self._listener.device_connected(self._name)
        elif session is None and was is not None:
            self._listener.device_disconnected(self._name)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first of the errors that a group of groups is about."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


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
