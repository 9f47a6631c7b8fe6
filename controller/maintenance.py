"""Keep a node or link free for maintenance: nothing new is placed on it, and what can is moved off, hitless."""

from __future__ import annotations

from controller.core.errors import Unavailable
from controller.core.maintenance import Draining
from controller.progress import Progress
from controller.state import NetworkState


class Maintenance:
    """One drain at a time."""

    def __init__(self, state: NetworkState, progress: Progress) -> None:
        self._state = state
        self._progress = progress

    async def drain(self, name: str, *, validate_only: bool) -> Draining:
        raise Unavailable(f"{name} cannot be drained yet")

    async def undrain(self, name: str) -> Draining:
        raise Unavailable(f"{name} cannot be undrained yet")
