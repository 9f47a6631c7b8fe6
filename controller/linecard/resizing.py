"""Runs the resizing machine of one node: its frames, its timer, its meters, and whoever commanded it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from controller.linecard.frames import NEIGHBOUR, frame
from controller.linecard.resize import ResizeNode
from controller.linecard.resize_messages import MalformedMessage, decode, encode
from controller.linecard.resize_values import Commit, Notice, Output, Send

log = logging.getLogger(__name__)

Transmit: TypeAlias = Callable[[int, bytes], None]
"""Line port and frame."""
Confirm: TypeAlias = Callable[[int], Awaitable[bool]]
"""Sets the meters of a slice as committed; whether they are known to stand."""
Notices: TypeAlias = "asyncio.Queue[Notice]"


class Resizing:
    """What the machine puts out is done in its order: no frame leaves before the commits in front of it stand."""

    def __init__(self, node: ResizeNode, transmit: Transmit, confirm: Confirm, step_s: float) -> None:
        self._node = node
        self._transmit = transmit
        self._confirm = confirm
        self._step_s = step_s
        """A frame leaves so long after what made it: the multiplex overhead's period."""
        self._listeners: dict[int, list[Notices]] = {}
        self._work: asyncio.Queue[list[tuple[Output, tuple[Notices, ...]]]] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._carry_out(await self._work.get())
            self._work.task_done()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def received(self, line_port: int, payload: bytes) -> None:
        try:
            message = decode(payload)
        except MalformedMessage as error:
            log.debug("line port %d: %s", line_port, error)
            return
        self._take(self._node.received(line_port, message, self._now()))

    def command(self, slice_id: int, target: int) -> None:
        """Notices go to the listeners of now. Raises `SlotError`."""
        self._take(self._node.command(slice_id, target, self._now()))

    async def force(self, slice_id: int, count: int) -> None:
        """Returns when the switch has it too, if it answers. Raises `SlotError`."""
        self._take(self._node.force(slice_id, count, self._now()))
        await self._work.join()

    def modifying(self, slice_id: int) -> bool:
        return self._node.modifying(slice_id)

    @contextmanager
    def listening(self, slice_id: int) -> Iterator[Notices]:
        """Notices of what is commanded, or joined, in the `with` block."""
        notices: Notices = asyncio.Queue()
        self._listeners.setdefault(slice_id, []).append(notices)
        try:
            yield notices
        finally:
            self._listeners[slice_id].remove(notices)
            if not self._listeners[slice_id]:
                del self._listeners[slice_id]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _take(self, outputs: Sequence[Output]) -> None:
        """A notice is for those who listened when it came about: not for the next command's."""
        if outputs:
            self._work.put_nowait([(output, self._audience(output)) for output in outputs])
        self._set_timer()

    def _audience(self, output: Output) -> tuple[Notices, ...]:
        return tuple(self._listeners.get(output.slice_id, ())) if isinstance(output, Notice) else ()

    async def _carry_out(self, outputs: Sequence[tuple[Output, tuple[Notices, ...]]]) -> None:
        """A commit that the switch does not confirm holds its frames back: to the neighbours, they were lost."""
        confirmed = True
        for output, audience in outputs:
            if isinstance(output, Commit):
                confirmed = await self._confirm(output.slice_id) and confirmed
            elif isinstance(output, Notice):
                for notices in audience:
                    notices.put_nowait(output)
            elif confirmed:
                self._send(output)

    def _send(self, output: Send) -> None:
        data = frame(NEIGHBOUR, output.line_port, encode(output.message))
        if self._step_s:
            asyncio.get_running_loop().call_later(self._step_s, self._transmit, output.line_port, data)
        else:
            self._transmit(output.line_port, data)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._node.next_deadline
        self._timer = None if deadline is None else asyncio.get_running_loop().call_at(deadline, self._due)

    def _due(self) -> None:
        self._take(self._node.tick(self._now()))
