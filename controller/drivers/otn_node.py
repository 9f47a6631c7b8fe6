"""One OTN node as a `Device` and a `SliceResizer`: its switch by OpenFlow, the line-card program beside it by gRPC.

`connected` is the switch alone: cross-connects and meters carry the traffic, and restoring them must not wait for a
program that keeps books. While the line card is silent `read()` has what it was last known to keep, since nothing is
gone because nobody says so, and its changes come back as transient rejections; when it returns, the device is announced
again, so that it is read anew, and filled where it is empty.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Hashable, Mapping, Sequence
from itertools import groupby
from typing import Any

from controller.core.entries import (
    SELECTOR,
    Change,
    CrossConnect,
    Entry,
    Operation,
    ProtectionGroup,
    Rejection,
    SlotAssignment,
)
from controller.core.errors import DeviceUnreachable
from controller.core.model import Capabilities, Liveness
from controller.drivers import otn_flows as flows
from controller.drivers.device import Committed, DeviceListener, Selector
from controller.drivers.line_card import LineCard
from controller.drivers.openflow_stream import Message, RequestRefused, SwitchError, SwitchStream, Timing
from controller.drivers.osken_native import NativeDatapath, ofproto, parser
from controller.drivers.otn_batch import Batch, Planner, refusal
from controller.drivers.otn_flows import SliceDirection

CAPABILITIES = Capabilities(shaping=False, liveness=Liveness.LOCAL_PORT, max_carriers=0, resolves_neighbors=False)
KEPT_BY_LINE_CARD = (SlotAssignment, ProtectionGroup)
_AWAY = "no OpenFlow stream with this controller as primary"

log = logging.getLogger(__name__)


class OtnNode:
    """Lives in the event loop. Changes are idempotent: inserting what stands or deleting what is gone succeeds."""

    def __init__(self, name: str, line_card: LineCard, listener: DeviceListener, epoch: int, timing: Timing) -> None:
        self._name = name
        self._line_card = line_card
        self._listener = listener
        self._epoch = epoch
        self._timing = timing
        self._stream: SwitchStream | None = None
        self._connected = False
        self._held: flows.Holdings | None = None
        """What the switch holds as last confirmed; None: must be read before the next write."""
        self._kept: dict[Hashable, Entry] = {}
        """What the line card keeps as last confirmed."""
        self._ports: dict[int, bool] = {}
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._selectors: asyncio.Task[None] | None = None
        """Watches them while there is a stream."""
        self._start(line_card.watch(self._line_card_returned))

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def trouble(self) -> str:
        return "" if self._connected else _AWAY

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    async def read(self) -> Mapping[Hashable, Entry]:
        """Cross-connects and meters with our cookie, and what the line card keeps, as far as it has said so."""
        async with self._lock:
            held = await self._read_switch(self._primary())
        entries: dict[Hashable, Entry] = {entry.key: entry for entry in held.entries()}
        try:
            self._kept = dict(await self._line_card.read())
        except DeviceUnreachable as silent:
            log.warning("%s", silent)
        return {**entries, **self._kept}

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """In the given order where it matters: runs of changes for line card and switch follow each other; within a
        run, the switch's are put into an order that never breaks traffic (`otn_batch`)."""
        rejections: list[Rejection] = []
        async with self._lock:
            self._primary()
            for kept, group in groupby(changes, lambda change: isinstance(change.entry, KEPT_BY_LINE_CARD)):
                self._primary()  # a controller that was fenced off at the switch is so at the line card
                apply = self._apply_to_line_card if kept else self._apply_to_switch
                judged = [(change, _held_back(change, rejections)) for change in group]
                rejections += [Rejection(change, "UNAVAILABLE", why, True) for change, why in judged if why]
                if fit := [change for change, why in judged if why is None]:
                    rejections += await apply(fit)
        return rejections

    async def _apply_to_line_card(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        rejections = await self._line_card.apply(changes)
        refused = {rejection.change.entry.key for rejection in rejections}
        for change in changes:
            if change.entry.key in refused:
                continue
            if change.operation is Operation.DELETE:
                self._kept.pop(change.entry.key, None)
            else:
                self._kept[change.entry.key] = change.entry
        return rejections

    async def resize(self, slice_id: int, count: int) -> None:
        self._primary()
        await self._line_card.resize(slice_id, count)

    async def committed(self, slice_id: int) -> Committed | None:
        return await self._line_card.committed(slice_id)

    async def force(self, slice_id: int, count: int) -> None:
        self._primary()
        await self._line_card.force(slice_id, count)

    async def send_frame(self, port: int, frame: bytes) -> None:
        stream = self._primary()
        out = [parser.OFPActionOutput(port)]
        message = parser.OFPPacketOut(
            stream.datapath, buffer_id=ofproto.OFP_NO_BUFFER, in_port=ofproto.OFPP_CONTROLLER, actions=out, data=frame
        )
        stream.send(message)

    async def close(self) -> None:
        """Announces nothing any more; what the switch holds stays."""
        stream, self._stream, self._connected = self._stream, None, False
        if stream is not None:
            stream.hang_up()
            stream.lost()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._line_card.close()

    # The stream's life, told by `OpenFlowController`.

    def attach(self, datapath: NativeDatapath) -> None:
        """A switch with this node's datapath id has come; an older stream of it is hung up on."""
        if self._stream is not None:
            self._stream.hang_up()
            self.detach(self._stream.datapath)
        self._stream = SwitchStream(self._name, datapath, self._timing)
        self._ports = {}
        self._start(self._greet(self._stream))

    def detach(self, datapath: NativeDatapath) -> None:
        """The stream is gone."""
        if self._stream is None or self._stream.datapath is not datapath:
            return
        self._stream.lost()
        self._stream = None
        self._step_down()

    def received(self, datapath: NativeDatapath, message: Message) -> None:
        if self._stream is None or self._stream.datapath is not datapath:
            return
        self._stream.received(message)
        if isinstance(message, parser.OFPPortStatus):
            self._port(message.desc, gone=message.reason == ofproto.OFPPR_DELETE)
        elif isinstance(message, parser.OFPPortDescStatsReply):
            for port in message.body:
                self._port(port)
        elif isinstance(message, parser.OFPPacketIn) and self._connected:
            self._listener.frame_received(self._name, message.match["in_port"], bytes(message.data))

    async def _greet(self, stream: SwitchStream) -> None:
        """Become primary, learn the ports, put the node's own flows in order; then the device is there."""
        datapath = stream.datapath
        try:
            await stream.ask(parser.OFPRoleRequest(datapath, ofproto.OFPCR_ROLE_MASTER, self._epoch))
            await stream.ask(parser.OFPPortDescStatsRequest(datapath))
            async with self._lock:
                await self._read_switch(stream)
        except RequestRefused as refused:
            # A stale epoch: another controller has taken over. Hanging up would only make the switch call again.
            log.error("%s: epoch %d is not accepted as primary: %s", self._name, self._epoch, refused)
            return
        except DeviceUnreachable as lost:
            log.warning("%s", lost)
            stream.hang_up()
            return
        if self._stream is stream:
            self._announce()

    def _announce(self) -> None:
        self._connected = True
        self._listener.device_connected(self._name)
        self._selectors = self._start(self._line_card.watch_protection(self._selector_moved))
        for port, up in self._ports.items():
            self._listener.port_changed(self._name, port, up)

    def _step_down(self) -> None:
        self._held = None
        if self._connected:
            self._connected = False
            if self._selectors is not None:
                self._selectors.cancel()
            self._listener.device_disconnected(self._name)

    def _port(self, port: Message, gone: bool = False) -> None:
        """Carrier and administrative state; the switch's own local port is none of ours."""
        if port.port_no > ofproto.OFPP_MAX:
            return
        down = port.state & ofproto.OFPPS_LINK_DOWN or port.config & ofproto.OFPPC_PORT_DOWN
        up = not gone and not down
        if self._ports.get(port.port_no) is not up:
            self._ports[port.port_no] = up
            if self._connected:
                self._listener.port_changed(self._name, port.port_no, up)

    def _line_card_returned(self) -> None:
        log.info("%s: the line card answers again", self._name)
        if self._connected:
            self._listener.device_connected(self._name)

    def _selector_moved(self, selector: Selector) -> None:
        self._listener.selector_moved(self._name, selector)

    # The switch.

    def _primary(self) -> SwitchStream:
        if self._stream is None or not self._connected:
            raise DeviceUnreachable(self._name, _AWAY)
        return self._stream

    async def _read_switch(self, stream: SwitchStream) -> flows.Holdings:
        """Flows and meters; restores the node's own flows and clears away strays on the way."""
        datapath = stream.datapath
        try:
            flow_parts, meter_parts = await asyncio.gather(
                stream.ask(flows.flows_request(datapath)), stream.ask(flows.meters_request(datapath))
            )
        except RequestRefused as refused:
            raise DeviceUnreachable(self._name, f"statistics refused: {refused}") from None
        held = flows.holdings_of(
            [stat for part in flow_parts for stat in part.body],
            [config for part in meter_parts for config in part.body],
        )
        repairs = [flows.stray_delete(datapath, stat) for stat in held.strays]
        if not held.infrastructure >= flows.INFRASTRUCTURE:
            repairs += flows.infrastructure_add(datapath, self._epoch)
        if repairs:
            for error in filter(None, await stream.transact(repairs)):
                log.error("%s: own flows not in order: %s", self._name, error.name)
        self._held = held
        return held

    async def _apply_to_switch(self, changes: Sequence[Change]) -> list[Rejection]:
        stream = self._primary()
        reasons = [(change, refusal(change)) for change in changes]
        rejections = [Rejection(change, "INVALID_ARGUMENT", reason) for change, reason in reasons if reason]
        fit = [change for change, reason in reasons if reason is None]
        held = self._held if self._held is not None else await self._read_switch(stream)
        self._held = None  # nothing is known until the barrier's reply
        batch = Planner(stream.datapath, self._epoch, held).plan(fit)
        refused = await self._write(stream, batch)
        if not refused:
            self._held = batch.after
        if any(is_slave(error) for _, error in refused):
            log.error("%s: another controller is primary now", self._name)
            self._step_down()
        return rejections + [self._rejection(change, error) for change, error in refused]

    @staticmethod
    async def _write(stream: SwitchStream, batch: Batch) -> list[tuple[Change, SwitchError]]:
        """Every phase confirmed before the next; returns the first error of each refused change."""
        stuck: dict[SliceDirection, SwitchError] = {}
        refused: dict[int, tuple[Change, SwitchError]] = {}
        for writes in batch.phases.values():
            ready = [write for write in writes if write.key not in stuck]
            results = await stream.transact([write.message for write in ready]) if ready else []
            for write, error in zip(ready, results, strict=True):
                if error is not None:
                    stuck.setdefault(write.key, error)
            for write in writes:
                if error := stuck.get(write.key):
                    refused.setdefault(id(write.change), (write.change, error))
        return list(refused.values())

    @staticmethod
    def _rejection(change: Change, error: SwitchError) -> Rejection:
        """Transient where the switch was not as last seen: the next pass reads it first."""
        outdated = error.among(
            ofproto.OFPET_METER_MOD_FAILED, ofproto.OFPMMFC_METER_EXISTS, ofproto.OFPMMFC_UNKNOWN_METER
        )
        return Rejection(change, error.name, f"the switch refused it: {error.name}", transient=outdated)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a defect is told to the loop's exception handler at once


def _held_back(change: Change, rejections: Sequence[Rejection]) -> str | None:
    """Why a change must wait, after what was just refused: no slice may be sent to a selector that is not there."""
    entry, gone = change.entry, change.operation is Operation.DELETE
    refused = (rejection.change.entry for rejection in rejections)
    if isinstance(entry, CrossConnect) and entry.out_port == SELECTOR and not gone:
        missing = any(isinstance(other, ProtectionGroup) and other.working == entry.slice_id for other in refused)
        return "its selector is not there" if missing else None
    if isinstance(entry, ProtectionGroup) and gone:
        used = any(isinstance(other, CrossConnect) and other.slice_id == entry.working for other in refused)
        return "its working slice may still be sent to the selector" if used else None
    return None


def is_slave(error: SwitchError) -> bool:
    return error.among(ofproto.OFPET_BAD_REQUEST, ofproto.OFPBRC_IS_SLAVE)
