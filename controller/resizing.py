"""Bring slices to their sizes: command the source, see that every node has followed, force as the last resort.

The handshake itself runs in band, hop by hop, among the line cards (G.709 Annex O). The controller hears its outcome
from the source and reads the size back from the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from controller.core.errors import DeviceRejected, DeviceUnreachable
from controller.core.slice_sizes import Resize
from controller.deadline import within
from controller.drivers.device import Committed, ResizeRefused, SliceResizer

log = logging.getLogger(__name__)

ONE_SIDED = "ONE_SIDED"
T = TypeVar("T")


class Overruled(Enum):
    """Which refusals of a source are answered by force."""

    NONE = auto()
    ONE_SIDED = auto()
    """Where one direction has the new size and could not be taken back."""
    ALL = auto()


HANDSHAKE_S = 10.0
"""A handshake whose outcome is not known after this long is taken for lost; it may still come to its end."""
LOOK_AGAIN_S = 0.05
"""While a handshake is under way."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a source answered."""

    device: str
    """Which refused: the source, or the hop that it says it was."""
    reason: str
    message: str


class Resizing:
    """Calls raise `DeviceUnreachable` where a node does not answer in time."""

    def __init__(self, node: Callable[[str], SliceResizer], handshake_s: float = HANDSHAKE_S) -> None:
        self._node = node
        self._handshake_s = handshake_s

    async def bring(self, resizes: Sequence[Resize], overruled: Overruled) -> frozenset[str]:
        """All slices to their sizes at the same time; returns the nodes at which that took force.

        Raises `DeviceRejected` where a source refused, or was refused, and that is not overruled: unless it was
        one-sided, its slice has the size that it had.
        """
        refusals = await _all(self._command(resize) for resize in resizes)
        for resize, refusal in zip(resizes, refusals, strict=True):
            if refusal is not None and not _forces(overruled, refusal):
                raise DeviceRejected(
                    refusal.device, f"slice {resize.slice_id} to {resize.count} slots: {refusal.message}"
                )
        differing = await _all(self.differing(resize) for resize in resizes)
        pairs = [(resize, node) for resize, nodes in zip(resizes, differing, strict=True) for node in nodes]
        await self.force(pairs)
        return frozenset(node for _, node in pairs)

    async def differing(self, resize: Resize) -> tuple[str, ...]:
        """The nodes at which a slice has another size than it shall, once no handshake is under way at any."""
        found = await _all(self._committed(node, resize.slice_id) for node in resize.nodes)
        wanted = Committed(resize.count, resize.count)
        return tuple(node for node, committed in zip(resize.nodes, found, strict=True) if committed != wanted)

    async def force(self, pairs: Iterable[tuple[Resize, str]]) -> None:
        """Set the size at single nodes, without a handshake. Raises `DeviceRejected` where one refuses."""
        await _all(self._force(resize, node) for resize, node in pairs)

    async def _command(self, resize: Resize) -> _Refusal | None:
        """Tell the source, and wait for the outcome."""
        source = resize.nodes[0]
        try:
            async with asyncio.timeout(self._handshake_s):
                await self._node(source).resize(resize.slice_id, resize.count)
        except ResizeRefused as refusal:
            log.warning("slice %d to %d slots: %s", resize.slice_id, resize.count, refusal)
            return _Refusal(refusal.device, refusal.reason, f"{refusal.reason}: {refusal}")
        except TimeoutError:
            message = f"no outcome of resizing slice {resize.slice_id} within {self._handshake_s:g} s"
            raise DeviceUnreachable(source, message) from None
        return None

    async def _committed(self, node: str, slice_id: int) -> Committed:
        try:
            async with asyncio.timeout(self._handshake_s):
                while (found := await self._node(node).committed(slice_id)) and found.modifying:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            raise DeviceUnreachable(node, f"slice {slice_id} is still being resized") from None
        if found is None:
            raise DeviceUnreachable(node, f"the line card does not know slice {slice_id} yet")
        return found

    async def _force(self, resize: Resize, node: str) -> None:
        log.warning("%s: slice %d is set to %d slots by force", node, resize.slice_id, resize.count)
        try:
            async with within(node, self._handshake_s, f"forcing slice {resize.slice_id}"):
                await self._node(node).force(resize.slice_id, resize.count)
        except ResizeRefused as refusal:
            raise DeviceRejected(node, f"slice {resize.slice_id} is not forced: {refusal}") from None


def _forces(overruled: Overruled, refusal: _Refusal) -> bool:
    return overruled is Overruled.ALL or (overruled is Overruled.ONE_SIDED and refusal.reason == ONE_SIDED)


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """At the same time, each to its end; then the first failure, if any, is raised."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
