"""What every `Device` must do, whatever protocol is behind it.

A driver's test module subclasses `DeviceContract` and gives a `harness` fixture: the device under test, a device
behind it that can be looked at and restarted without the driver, and entries that fit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from waiting import until

from controller.core.entries import Change, Entry, Operation
from controller.core.errors import DeviceUnreachable
from controller.drivers.device import Device, PathWatch, Selector

LLDP_FRAME = bytes.fromhex("0180c200000e 0a0000000001 88cc") + bytes(range(46))
"""What every device punts, and sends."""


@dataclass
class Recorder:
    """A listener that keeps what it heard, in order."""

    events: list[tuple[str, str]] = field(default_factory=list)
    ports: list[tuple[str, int, bool]] = field(default_factory=list)
    frames: list[tuple[str, int, bytes]] = field(default_factory=list)
    selectors: list[tuple[str, Selector]] = field(default_factory=list)
    watches: list[tuple[str, PathWatch]] = field(default_factory=list)

    def device_connected(self, device: str) -> None:
        self.events.append(("connected", device))

    def device_disconnected(self, device: str) -> None:
        self.events.append(("disconnected", device))

    def port_changed(self, device: str, port: int, up: bool) -> None:
        self.ports.append((device, port, up))

    def frame_received(self, device: str, port: int, frame: bytes) -> None:
        self.frames.append((device, port, frame))

    def selector_moved(self, device: str, selector: Selector) -> None:
        self.selectors.append((device, selector))

    def path_watched(self, device: str, watch: PathWatch) -> None:
        self.watches.append((device, watch))


class Harness(Protocol):
    """The world around the device under test."""

    device: Device
    listener: Recorder

    def entries(self) -> Sequence[Entry]:
        """At least three, of every kind that the device holds, in an order in which they can be written."""
        ...

    def modified(self, entry: Entry) -> Entry:
        """The same key with another value."""
        ...

    def refused(self) -> Entry | None:
        """An entry that the device itself must refuse; None where there is none."""
        ...

    async def plant_foreign(self) -> bool:
        """Put something on the device that is not ours, behind the driver's back; False where that is impossible."""
        ...

    async def foreign_stands(self) -> bool: ...

    async def interrupt(self) -> None:
        """Cut the control stream; the device keeps its entries and can be reached again."""
        ...

    async def restart_empty(self) -> None:
        """The device loses everything and comes back."""
        ...

    async def provoke_frame(self, port: int, frame: bytes) -> bool:
        """Make the device punt a frame; False where that is impossible."""
        ...

    async def frame_left(self, port: int, frame: bytes) -> bool | None:
        """True when this frame has left the port, None where it cannot be seen."""
        ...


def inserts(entries: Sequence[Entry]) -> list[Change]:
    return [Change(Operation.INSERT, entry) for entry in entries]


def deletes(entries: Sequence[Entry]) -> list[Change]:
    return [Change(Operation.DELETE, entry) for entry in reversed(entries)]


class DeviceContract:
    """Inherit, and define a fixture `harness` that yields a connected device without entries."""

    async def test_says_that_it_is_connected(self, harness: Harness) -> None:
        assert harness.device.connected
        assert harness.listener.events == [("connected", harness.device.name)]

    async def test_starts_empty(self, harness: Harness) -> None:
        assert dict(await harness.device.read()) == {}

    async def test_reads_back_what_was_inserted(self, harness: Harness) -> None:
        entries = harness.entries()
        assert not await harness.device.apply(inserts(entries))
        assert dict(await harness.device.read()) == {entry.key: entry for entry in entries}

    async def test_reads_back_what_was_modified(self, harness: Harness) -> None:
        entries = harness.entries()
        await harness.device.apply(inserts(entries))
        changed = [harness.modified(entry) for entry in entries]
        assert not await harness.device.apply([Change(Operation.MODIFY, entry) for entry in changed])
        assert dict(await harness.device.read()) == {entry.key: entry for entry in changed}

    async def test_forgets_what_was_deleted(self, harness: Harness) -> None:
        entries = harness.entries()
        await harness.device.apply(inserts(entries))
        assert not await harness.device.apply(deletes(entries[1:]))
        assert dict(await harness.device.read()) == {entries[0].key: entries[0]}

    async def test_insert_and_delete_are_idempotent(self, harness: Harness) -> None:
        entries = harness.entries()
        await harness.device.apply(inserts(entries))
        assert not await harness.device.apply(inserts(entries))
        assert dict(await harness.device.read()) == {entry.key: entry for entry in entries}
        assert not await harness.device.apply(deletes(entries))
        assert not await harness.device.apply(deletes(entries))
        assert dict(await harness.device.read()) == {}

    async def test_insert_over_another_value_takes_the_new_value(self, harness: Harness) -> None:
        entry = harness.entries()[0]
        changed = harness.modified(entry)
        assert not await harness.device.apply(inserts([entry]))
        assert not await harness.device.apply(inserts([changed]))
        assert dict(await harness.device.read()) == {changed.key: changed}

    async def test_keeps_the_given_order(self, harness: Harness) -> None:
        first = harness.entries()[0]
        second = harness.modified(first)
        changes = [
            Change(Operation.INSERT, first),
            Change(Operation.DELETE, first),
            Change(Operation.INSERT, first),
            Change(Operation.MODIFY, second),
        ]
        assert not await harness.device.apply(changes)
        assert dict(await harness.device.read()) == {second.key: second}

    async def test_returns_what_was_refused_and_lets_the_rest_stand(self, harness: Harness) -> None:
        refused = harness.refused()
        if refused is None:
            pytest.skip("this device refuses nothing that its entries can express")
        entries = harness.entries()
        changes = inserts([entries[0], refused, *entries[1:]])
        rejections = await harness.device.apply(changes)
        assert [rejection.change for rejection in rejections] == [changes[1]]
        assert rejections[0].code
        assert not rejections[0].transient
        assert dict(await harness.device.read()) == {entry.key: entry for entry in entries}

    async def test_leaves_foreign_entries_alone(self, harness: Harness) -> None:
        if not await harness.plant_foreign():
            pytest.skip("nothing foreign can be put on this device")
        entries = harness.entries()
        assert dict(await harness.device.read()) == {}
        await harness.device.apply(inserts(entries))
        assert dict(await harness.device.read()) == {entry.key: entry for entry in entries}
        await harness.device.apply(deletes(entries))
        assert await harness.foreign_stands()

    async def test_keeps_entries_over_a_lost_control_stream(self, harness: Harness) -> None:
        entries = harness.entries()
        await harness.device.apply(inserts(entries))
        await harness.interrupt()
        await self._came_back(harness)
        assert dict(await harness.device.read()) == {entry.key: entry for entry in entries}

    async def test_can_be_filled_again_when_it_comes_back_empty(self, harness: Harness) -> None:
        entries = harness.entries()
        await harness.device.apply(inserts(entries))
        await harness.restart_empty()
        await self._came_back(harness)
        assert dict(await harness.device.read()) == {}
        assert not await harness.device.apply(inserts(entries))
        assert dict(await harness.device.read()) == {entry.key: entry for entry in entries}

    async def test_hands_over_punted_frames(self, harness: Harness) -> None:
        frame = LLDP_FRAME
        if not await harness.provoke_frame(2, frame):
            pytest.skip("this device cannot be made to punt here")
        await until(lambda: bool(harness.listener.frames), "a punted frame")
        assert harness.listener.frames == [(harness.device.name, 2, frame)]

    async def test_sends_frames(self, harness: Harness) -> None:
        frame = LLDP_FRAME
        await harness.device.send_frame(3, frame)
        left = await harness.frame_left(3, frame)
        if left is None:
            pytest.skip("frames that leave cannot be seen here")
        assert left

    async def test_is_unreachable_after_close(self, harness: Harness) -> None:
        await harness.device.close()
        assert not harness.device.connected
        for call in (
            harness.device.read,
            lambda: harness.device.apply([]),
            lambda: harness.device.send_frame(1, b"\0" * 60),
        ):
            with pytest.raises(DeviceUnreachable, match=harness.device.name.rsplit("/", 1)[-1]):
                await call()

    async def _came_back(self, harness: Harness) -> None:
        name = harness.device.name
        expected = [("connected", name), ("disconnected", name), ("connected", name)]
        await until(lambda: harness.listener.events == expected, f"{expected}, heard {harness.listener.events}")
        assert harness.device.connected
