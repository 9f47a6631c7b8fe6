"""What the faces need of the service layer, as one protocol: every use case, once.

Every method raises `controller.core.errors.Refused` (nothing was changed) or `DeviceError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from controller.core.drift import Drift
from controller.core.fgotn_view import Json
from controller.core.maintenance import Draining
from controller.core.model import Corridor, CorridorEvent, TopologyView
from controller.core.otn.moves import Defragmentation


class CorridorService(Protocol):
    """The use cases. Names are full resource names; an empty etag or request id means none."""

    async def create_corridor(
        self, parent: str, corridor_id: str, corridor: Corridor, *, validate_only: bool = False, request_id: str = ""
    ) -> Corridor:
        """Output-only fields of `corridor` and its name are not heeded. `parent` is `tenants/{tenant}`."""
        ...

    async def get_corridor(self, name: str) -> Corridor: ...

    async def changeable_corridor(self, name: str) -> Corridor:
        """What a change of it begins from: as `get_corridor`, but by nobody who may lag behind who leads."""
        ...

    async def list_corridors(
        self, parent: str, page_size: int = 0, page_token: str = ""
    ) -> tuple[tuple[Corridor, ...], str]:
        """One page and the token of the next, empty on the last. Parent `tenants/-` lists every tenant's."""
        ...

    async def update_corridor(self, corridor: Corridor, update_mask: tuple[str, ...], *, etag: str = "") -> Corridor:
        """Change the named top-level fields, all of them writable and none twice; the mask may be empty."""
        ...

    async def switch_profile(self, name: str, profile: str, *, etag: str = "") -> Corridor: ...

    async def delete_corridor(self, name: str, *, etag: str = "") -> Corridor: ...

    def watch_corridors(self, parent: str, after_sequence: int = 0) -> AsyncIterator[CorridorEvent]:
        """With `after_sequence` 0 first the corridors as they stand (CREATED), then changes; else changes after it."""
        ...

    async def get_topology(self, name: str) -> TopologyView:
        """`domains/-/topology` is the domain that this controller serves."""
        ...

    async def get_otn_topology(self) -> Json:
        """`ietf-network:networks`."""
        ...

    async def get_otn_tunnels(self) -> Json:
        """`ietf-te:te`."""
        ...

    async def defragment(self, name: str, max_moves: int, *, validate_only: bool = False) -> Defragmentation:
        """`name` as in `get_topology`; answers when every move is made or one has failed."""
        ...

    async def get_drift(self, name: str, *, read_now: bool = False) -> Drift:
        """`name` as in `get_topology`; with `read_now` every device that is connected is read back first."""
        ...

    async def drain(self, name: str, *, validate_only: bool = False) -> Draining:
        """A node or a link; answers when every corridor on it was moved or has to stay."""
        ...

    async def undrain(self, name: str) -> Draining: ...
