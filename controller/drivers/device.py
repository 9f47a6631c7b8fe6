"""The contract between the reconciler and every kind of device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

from controller.core.entries import Change, Entry, Rejection
from controller.core.model import Capabilities


class DeviceListener(Protocol):
    """Hears of devices. Every method is called in the event loop's thread and must not block."""

    def device_connected(self, device: str) -> None:
        """The control stream is up and this controller is primary; what the device holds is unknown."""

    def device_disconnected(self, device: str) -> None:
        """The control stream is gone; traffic may well go on."""

    def port_changed(self, device: str, port: int, up: bool) -> None:
        """A port's operational state."""

    def frame_received(self, device: str, port: int, frame: bytes) -> None:
        """A punted Ethernet frame and the port it came in on."""


class Device(Protocol):
    """One device, its entries and its control stream. Calls raise `DeviceUnreachable` when there is no stream."""

    @property
    def name(self) -> str: ...

    @property
    def connected(self) -> bool: ...

    @property
    def capabilities(self) -> Capabilities: ...

    async def read(self) -> Mapping[Hashable, Entry]:
        """All entries of ours that the device holds now, by key; foreign entries are left out."""
        ...

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Write in the given order, confirmed (barrier or response); what was refused comes back, the rest stands."""
        ...

    async def send_frame(self, port: int, frame: bytes) -> None:
        """Emit an Ethernet frame from a port."""
        ...

    async def close(self) -> None: ...
