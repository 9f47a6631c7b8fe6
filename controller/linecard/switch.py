"""The node's switch as the line card keeps it: meters that follow committed sizes, selectors, ends of in-band frames.

Level-triggered: when the switch (re)appears, after a change, and every second, what it holds is compared with what is
wanted, and the difference written. What is right is never written: to modify a meter refills its bucket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from controller.core.otn import metering
from controller.core.otn.marks import CONTROLLER_TAG, COOKIE_MASK, DIRECTORY_TABLE, Directory, cookie, slice_of
from controller.linecard import selector_flows
from controller.linecard.openflow import Message, OpenFlowSocket, SwitchLost, coding, ofproto, parser
from controller.linecard.selector_flows import FlowKey, OwnFlow, SelectorFlow

REPAIR_S = 1.0
RETRY_S = 0.1
PAUSE_S = 0.05
"""At least, between two comparisons."""
_METER_FLAGS = ofproto.OFPMF_KBPS | ofproto.OFPMF_BURST | ofproto.OFPMF_STATS

log = logging.getLogger(__name__)


class Wanted(Protocol):
    """What the line card wants of its switch, at any instant."""

    def carried(self, slice_id: int, direction: int) -> tuple[int, int] | None:
        """Slots that carry it, and what one slot carries in frame bits per second; None where that is not known."""
        ...

    def flows(self, ports: Collection[int]) -> Mapping[FlowKey, OwnFlow]:
        """`ports`: those that the switch has now."""
        ...

    def may_remove(self, working: int) -> bool:
        """A flow of ours for this group, or of no group (0), which is not wanted: nobody is about to want it."""
        ...


class Switch:
    """`path`: the switch's management socket; None: there is no switch, and all is well with it."""

    def __init__(self, path: str | None, wanted: Wanted) -> None:
        self._path = path
        self._wanted = wanted
        self._stream: OpenFlowSocket | None = None
        self._one_at_a_time = asyncio.Lock()
        self._changed = asyncio.Event()
        self._seen = asyncio.Event()
        self._selectors: dict[int, SelectorFlow] = {}
        """By channel, as they stood when the switch was last compared with what is wanted."""

    async def seen(self, timeout_s: float) -> bool:
        """The switch has been read, within this time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._seen.wait()
        except TimeoutError:
            return False
        return True

    def standing(self, channel: int) -> SelectorFlow | None:
        """The selector that the switch had for this channel."""
        return self._selectors.get(channel)

    def changed(self) -> None:
        """Something else is wanted now: look soon."""
        self._changed.set()

    def write(self, flow: OwnFlow) -> None:
        """At once; that it came about is seen to by the next comparison."""
        if self._stream is not None:
            self._stream.send(selector_flows.add(flow))

    async def confirm(self, slice_id: int) -> bool:
        """Set the meters of one slice; whether the switch is known to have them."""
        if self._path is None:
            return True
        try:
            async with self._one_at_a_time:
                if self._stream is None:
                    return False
                return await self._set_meters(self._stream, slice_id)
        except SwitchLost as error:
            log.warning("slice %d: %s", slice_id, error)
            return False

    async def confirm_flows(self, timeout_s: float) -> None:
        """Set the flows now; returns when the switch has them, or after this time: `standing` tells which."""
        try:
            async with asyncio.timeout(timeout_s), self._one_at_a_time:
                if self._stream is not None:
                    await self._set_flows(self._stream)
        except (SwitchLost, TimeoutError) as error:
            log.warning("flows are not confirmed: %s", error)

    async def run(self) -> None:
        """For ever: connect, compare, repair."""
        while self._path is not None:
            try:
                self._stream = await OpenFlowSocket.connect(self._path)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await self._keep(self._stream)
            except SwitchLost as error:
                log.warning("the switch: %s", error)
            finally:
                stream, self._stream = self._stream, None
                await stream.close()
            await asyncio.sleep(RETRY_S)

    async def _keep(self, stream: OpenFlowSocket) -> None:
        while not stream.closed.done():
            self._changed.clear()
            async with self._one_at_a_time:
                await self._set_flows(stream)
                await self._set_meters(stream)
            self._seen.set()
            await asyncio.sleep(PAUSE_S)
            waiting = asyncio.create_task(self._changed.wait())
            await asyncio.wait([waiting, stream.closed], timeout=REPAIR_S, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()

    async def _set_flows(self, stream: OpenFlowSocket) -> None:
        stats = [stat for part in await stream.ask(selector_flows.request()) for stat in part.body]
        read = [(stat, selector_flows.flow_of(stat)) for stat in stats]
        self._selectors = {flow.channel: flow for _, flow in read if isinstance(flow, SelectorFlow)}
        wanted = self._wanted.flows(await self._ports(stream))
        standing = {flow for _, flow in read if flow is not None}
        messages = [
            selector_flows.delete(stat)
            for stat, flow in read
            if (flow is None or flow.key not in wanted) and self._wanted.may_remove(slice_of(stat.cookie))
        ]
        messages += [selector_flows.add(flow) for flow in wanted.values() if flow not in standing]
        if await self._transact(stream, messages):
            self._selectors |= {flow.channel: flow for flow in wanted.values() if isinstance(flow, SelectorFlow)}

    async def _ports(self, stream: OpenFlowSocket) -> frozenset[int]:
        """But for the switch's own."""
        answers = await stream.ask(parser.OFPPortDescStatsRequest(coding))
        return frozenset(port.port_no for part in answers for port in part.body if port.port_no < ofproto.OFPP_MAX)

    async def _set_meters(self, stream: OpenFlowSocket, slice_id: int | None = None) -> bool:
        """Of one slice, or of all. False where the switch refused one."""
        directory = await self._directory(stream, slice_id)
        if not directory:
            return True
        asked = [parser.OFPMeterConfigStatsRequest(coding, meter_id=meter) for meter in directory]
        if slice_id is None:
            asked = [parser.OFPMeterConfigStatsRequest(coding)]
        answers = [part for request in asked for part in await stream.ask(request)]
        configs = {config.meter_id: config for part in answers for config in part.body}
        messages = [
            parser.OFPMeterMod(coding, ofproto.OFPMC_MODIFY, _METER_FLAGS, meter, [parser.OFPMeterBandDrop(*limit)])
            for meter, limit in self._limits(directory)
            if meter in configs and _limit_of(configs[meter]) != limit
        ]
        return await self._transact(stream, messages)

    async def _directory(self, stream: OpenFlowSocket, slice_id: int | None) -> dict[int, Directory]:
        """Meters that are ours to set, by number."""
        mask = COOKIE_MASK | (0 if slice_id is None else 0xFFFFFFFF)
        mark = cookie(CONTROLLER_TAG, 0, slice_id or 0)
        request = parser.OFPFlowStatsRequest(coding, table_id=DIRECTORY_TABLE, cookie=mark, cookie_mask=mask)
        stats = [stat for part in await stream.ask(request) for stat in part.body]
        found = ((_meter_of(stat), Directory.of(stat.match.get("metadata", -1))) for stat in stats)
        return {meter: owner for meter, owner in found if meter is not None and owner is not None and owner.follows}

    def _limits(self, directory: Mapping[int, Directory]) -> Iterable[tuple[int, tuple[int, int]]]:
        for meter, owner in directory.items():
            carried = self._wanted.carried(owner.slice_id, owner.direction)
            if carried is not None:
                yield meter, metering.limit(*carried, owner.transit)

    async def _transact(self, stream: OpenFlowSocket, messages: list[Message]) -> bool:
        errors = await stream.transact(messages) if messages else []
        for error in errors:
            log.warning("the switch refused: %s", error)
        return not errors


def _meter_of(stat: Message) -> int | None:
    meters = (each.meter_id for each in stat.instructions if isinstance(each, parser.OFPInstructionMeter))
    return next(meters, None)


def _limit_of(config: Message) -> tuple[int, int] | None:
    if len(config.bands) != 1:
        return None
    return config.bands[0].rate, config.bands[0].burst_size
