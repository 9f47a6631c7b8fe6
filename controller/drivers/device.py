"""The contract between the reconciler and every kind of device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.core.entries import Change, Entry, Rejection
from controller.core.model import Capabilities


@dataclass(frozen=True, slots=True)
class Selector:
    """One end of a protected slice: which slice its traffic takes, and which of the two are whole."""

    working: int
    on_protection: bool
    working_ok: bool
    protection_ok: bool
    reason: str = ""
    """What moved it last: SIGNAL_FAIL, FAR_END, REVERTED, or empty."""
    far_end_silent: bool = False
    """Neither slice brings anything, and neither was seen to fail before: nothing is known of any route."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """One watched way around a path (`path_probe`), as the packet node's own probes find it."""

    session: int
    up: bool
    round_trip_us: int = 0
    """Out and back; 0 where none was measured yet."""


@dataclass(frozen=True, slots=True)
class PolicyState:
    """One protected policy (`policy_backup`): which list its traffic takes now."""

    policy: int
    on_backup: bool
    reason: str = ""
    """What moved it last: SIGNAL_FAIL, REVERTED, BACKUP_LOST, or empty."""


@dataclass(frozen=True, slots=True)
class PathWatch:
    """What a packet node says of its probes by itself: all after it connected, then what changed."""

    sessions: tuple[SessionState, ...] = ()
    policies: tuple[PolicyState, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """Slots that carry a slice at one node, by direction: A to Z, Z to A."""

    forward: int
    reverse: int
    modifying: bool = False


class ResizeRefused(Exception):
    """A slice has the size it had before, unless `reason` is ONE_SIDED.

    `reason`: REJECTED (a hop has not the slots), TIMEOUT (a hop did not answer), ONE_SIDED (one direction has the new
    size and could not be taken back), or a gRPC status name where the command itself was refused.
    """

    def __init__(self, device: str, reason: str, message: str) -> None:
        super().__init__(f"{device}: {message}")
        self.device = device
        self.reason = reason


class SliceResizer(Protocol):
    """What an OTN node can do about the size of a slice. Calls raise `DeviceUnreachable` when it does not answer."""

    async def resize(self, slice_id: int, count: int) -> None:
        """Command this node as the source; returns when both directions have the size on every hop.

        Raises `ResizeRefused`. Cancelled, the handshake goes on.
        """
        ...

    async def committed(self, slice_id: int) -> Committed | None:
        """Read back; None where the node does not know the slice."""
        ...

    async def force(self, slice_id: int, count: int) -> None:
        """Set the size here alone, without a handshake: may hit traffic. Raises `ResizeRefused`."""
        ...


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

    def selector_moved(self, device: str, selector: Selector) -> None:
        """What the end of a protected slice says of it: at first, and whenever it changed."""

    def path_watched(self, device: str, watch: PathWatch) -> None:
        """What a packet node's probes found: all at first, then what changed; round trips once a second."""


class Device(Protocol):
    """One device, its entries and its control stream. Calls raise `DeviceUnreachable` when there is no stream."""

    @property
    def name(self) -> str: ...

    @property
    def connected(self) -> bool: ...

    @property
    def trouble(self) -> str:
        """Why it is not connected, for people; empty where it is."""
        ...

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
