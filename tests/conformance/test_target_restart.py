"""A target that restarts: the kernel keeps what the agent wrote, BMv2 comes back with nothing; the driver notices."""

from __future__ import annotations

import pytest
from crossing import crosses
from device_contract import Recorder, inserts
from exceptions import bearable, differs
from frames import from_core, inner6, on_channel, outer
from packet_world import ENTRIES
from targets import Target
from waiting import until

from controller.core.errors import DeviceUnreachable

TRANSIT = from_core(outer("fcbb:bb00:1:2::") / inner6())
FORWARDED = (1, on_channel(1, outer("fcbb:bb00:2::", hlim=63) / inner6()))


async def test_a_restart(target: Target) -> None:
    wanted = bearable(target.name, ENTRIES)
    everything = {entry.key: entry for entry in wanted}
    heard = Recorder()
    device = target.device(heard, target.next_epoch(), heartbeat_s=0.2)
    device.start()
    try:
        await until(lambda: device.connected, "the connection")
        assert dict(await device.read()) == everything
        target.stop()
        await until(lambda: not device.connected, "the loss")
        with pytest.raises(DeviceUnreachable):
            await device.apply([])
        keeps = differs(target.name, "restart")
        if keeps:
            assert crosses(target, 1, TRANSIT) == FORWARDED, "while its agent is away"
        target.launch()
        await until(lambda: device.connected, "the return")
        assert [event for event, _ in heard.events] == ["connected", "disconnected", "connected"]
        assert dict(await device.read()) == (everything if keeps else {})
        assert not await device.apply(inserts(wanted))
        assert dict(await device.read()) == everything
    finally:
        await device.close()
    assert crosses(target, 1, TRANSIT) == FORWARDED
