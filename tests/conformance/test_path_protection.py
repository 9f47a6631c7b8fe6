"""Watched paths and protected policies: every target takes the entries, and without a failure they change nothing.

What a target with a liveness agent does when a path fails is in `tests/linux/test_linux_protection.py`.
"""

from __future__ import annotations

import pytest
from crossing import crosses
from frames import from_host, inner6, on_channel, tunnelled
from packet_world import CARRIERS, PROTECTED, SOURCE, backed, probe
from targets import Target

from controller.core.entries import Change, Entry, Operation


@pytest.mark.covers("path_probe.probe_1", "path_probe.probe_2", "path_probe.probe_3", "policy_backup.set_backup")
def test_a_protected_policy_takes_its_own_list(target: Target) -> None:
    """No probe of these comes back, and nobody knows whether the backup is whole: nothing moves."""
    with target.holding(*PROTECTED):
        port, frame = crosses(target, 2, from_host(2, inner6(dscp=12)))
        assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, inner6(dscp=12), CARRIERS[0])))


def test_entries_are_modified_and_removed(target: Target) -> None:
    changed: list[Entry] = [probe(1, (CARRIERS[2], SOURCE), 20_000, 50_000), backed(1, 3, 2, 1, revertive=0)]

    async def modify(device):
        assert not await device.apply([Change(Operation.MODIFY, entry) for entry in changed])
        standing = await device.read()
        assert [standing[entry.key] for entry in changed] == changed
        assert not await device.apply([Change(Operation.MODIFY, entry) for entry in (PROTECTED[0], PROTECTED[-1])])

    with target.holding(*PROTECTED):
        target.ask(modify)
    left = target.ask(lambda device: device.read())
    assert not [key for key in left if key in {entry.key for entry in PROTECTED}]
