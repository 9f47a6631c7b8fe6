"""Runs the protection groups that end at one node: one beat for all of them, frames out and in, selectors moved."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from controller.core.addresses import channel_address
from controller.core.entries import ProtectionGroup
from controller.linecard.continuity import ProtectionEnd, Select, Timing
from controller.linecard.continuity_frames import BadFrame, Health, Path, decode, encode
from controller.linecard.frames import frame
from controller.linecard.line_ports import LinePorts
from controller.linecard.selector_flows import FlowKey, OwnFlow, SelectorFlow, flows_of, selector

log = logging.getLogger(__name__)

Statuses: TypeAlias = "asyncio.Queue[Status]"


@dataclass(frozen=True, slots=True)
class Status:
    working: int
    on_protection: bool
    working_ok: bool
    protection_ok: bool
    reason: str
    far_end_silent: bool


@dataclass(slots=True)
class _Group:
    group: ProtectionGroup
    end: ProtectionEnd
    told: Status | None = None

    @property
    def status(self) -> Status:
        health = [self.end.health(path) for path in Path]
        working, protection = (each is Health.WHOLE for each in health)
        silent = all(each is Health.UNKNOWN for each in health)
        return Status(self.group.working, self.end.on_protection, working, protection, self.end.reason or "", silent)

    def channels(self, direction: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(line port, channel address) by path."""
        group = self.group
        return (
            (group.working_port, channel_address(group.working, direction)),
            (group.protection_port, channel_address(group.protection, direction)),
        )


class Protection:
    """`write` puts a flow into the switch at once; `standing` is the selector that it had for a channel at last."""

    def __init__(
        self,
        ports: LinePorts,
        write: Callable[[OwnFlow], None],
        standing: Callable[[int], SelectorFlow | None],
        timing: Timing,
    ) -> None:
        self._ports = ports
        self._write = write
        self._standing = standing
        self._timing = timing
        self._groups: dict[int, _Group] = {}
        self._ends_here: dict[tuple[int, int], tuple[_Group, Path]] = {}
        """By line port and channel address of what arrives."""
        self._once: set[int] = set()
        self._beat_handle: asyncio.TimerHandle | None = None
        self._watchers: list[Statuses] = []

    def close(self) -> None:
        if self._beat_handle is not None:
            self._beat_handle.cancel()

    def follow(self, groups: Sequence[ProtectionGroup]) -> None:
        """These are the groups from now on; one that stays as it is goes on as it is."""
        before, self._groups = self._groups, {}
        for group in groups:
            known = before.get(group.working)
            if known is None or known.group != group:
                known = _Group(group, self._begin(group, known))
                for flow in flows_of(group, known.end.on_protection):
                    self._write(flow)
            self._groups[group.working] = known
        self._once.update(self._groups)
        self._ends_here = {
            channel: (group, path)
            for group in self._groups.values()
            for path, channel in zip(Path, group.channels(1 - group.group.direction), strict=True)
        }
        self._ports.hear_channels({port for port, _ in self._ends_here})
        if self._groups and self._beat_handle is None:
            self._next_beat(asyncio.get_running_loop().time())

    def flows(self) -> Mapping[FlowKey, OwnFlow]:
        """What belongs into the switch."""
        flows = (flow for each in self._groups.values() for flow in flows_of(each.group, each.end.on_protection))
        return {flow.key: flow for flow in flows}

    def knew(self, working: int) -> bool:
        """The group of this working slice was one of this program's, now or before."""
        return working in self._once

    def received(self, line_port: int, channel: int, payload: bytes) -> None:
        """Frames in transit are none of ours."""
        here = self._ends_here.get((line_port, channel))
        if here is None:
            return
        group, path = here
        try:
            group.end.received(path, decode(payload))
        except BadFrame as error:
            log.debug("line port %d: %s", line_port, error)

    @contextmanager
    def watching(self) -> Iterator[Statuses]:
        """All groups as they are, and then whatever changes."""
        statuses: Statuses = asyncio.Queue()
        for group in self._groups.values():
            statuses.put_nowait(group.status)
        self._watchers.append(statuses)
        try:
            yield statuses
        finally:
            self._watchers.remove(statuses)

    def _begin(self, group: ProtectionGroup, before: _Group | None) -> ProtectionEnd:
        """A restarted program finds the selector as it left it, and traffic stays where it is."""
        known = self._standing(channel_address(group.working, group.direction))
        if before is not None:
            known = selector(before.group, before.end.on_protection)
        on_protection = known == selector(group, True)
        return ProtectionEnd(group.working, secrets.randbits(32), self._timing, on_protection)

    def _next_beat(self, due: float) -> None:
        self._beat_handle = asyncio.get_running_loop().call_at(due, self._beat, due)

    def _beat(self, due: float) -> None:
        """Late beats are not made up for, and the next one comes no sooner than half a period later."""
        self._beat_handle = None
        if not self._groups:
            return
        self._ports.drain()
        now = asyncio.get_running_loop().time()
        for group in self._groups.values():
            self._tick(group, now)
        period = self._timing.period_s
        self._next_beat(max(due + period, now + period / 2))

    def _tick(self, group: _Group, now: float) -> None:
        ways = group.channels(group.group.direction)
        for output in group.end.tick(now):
            if isinstance(output, Select):
                self._write(selector(group.group, output.on_protection))
                log.info(
                    "slice %d: %s (%s)",
                    group.group.working,
                    "on protection" if output.on_protection else "on working",
                    output.reason,
                )
            else:
                port, channel = ways[output.report.path]
                self._ports.send(port, frame(channel, port, encode(output.report)))
        self._tell(group)

    def _tell(self, group: _Group) -> None:
        status = group.status
        if status != group.told:
            group.told = status
            for statuses in self._watchers:
                statuses.put_nowait(status)
