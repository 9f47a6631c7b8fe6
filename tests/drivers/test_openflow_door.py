"""Switches that call a controller which stands by: let in, left alone, and there when it takes over."""

from __future__ import annotations

import struct
from pathlib import Path

from device_contract import Recorder
from fake_switch import FakeSwitch, Request
from waiting import until

from controller.drivers.openflow import OpenFlowController
from controller.drivers.openflow_door import SwitchDoor
from controller.drivers.openflow_stream import Timing
from controller.drivers.osken_native import ofproto

TIMING = Timing(deadline_s=0.3, echo_interval_s=0.05, echo_misses=3)
NODES = {5: ("o", "unix:/nonexistent/linecard.sock")}


def role(request: Request) -> tuple[int, int]:
    """(role, generation id) of struct ofp_role_request."""
    asked, generation = struct.unpack("!I4xQ", request.body)
    return asked, generation


async def test_a_switch_waits_for_whoever_takes_over(tmp_path: Path) -> None:
    door, heard = SwitchDoor(f"unix:{tmp_path}/openflow.sock", TIMING), Recorder()
    await door.open()
    switch = FakeSwitch(5)
    await switch.call(f"{tmp_path}/openflow.sock")
    await until(lambda: switch.sent(ofproto.OFPT_FEATURES_REQUEST), "the handshake")
    switch.send(ofproto.OFPT_ECHO_REQUEST, 7)
    await until(lambda: switch.sent(ofproto.OFPT_ECHO_REPLY), "an echo's answer")
    asked = {request.kind for request in switch.heard}
    assert not asked & {ofproto.OFPT_ROLE_REQUEST, ofproto.OFPT_FLOW_MOD, ofproto.OFPT_METER_MOD}
    controller = OpenFlowController(door, heard, NODES, 9, TIMING)
    await controller.start()
    await until(lambda: ("connected", "o") in heard.events, "the switch")
    assert [role(request) for request in switch.sent(ofproto.OFPT_ROLE_REQUEST)] == [(ofproto.OFPCR_ROLE_MASTER, 9)]
    await controller.close()
    await switch.hung_up.wait()


async def test_of_a_switch_that_comes_twice_the_last_stream_counts(tmp_path: Path) -> None:
    door, heard = SwitchDoor(f"unix:{tmp_path}/openflow.sock", TIMING), Recorder()
    await door.open()
    first, second, gone = FakeSwitch(5), FakeSwitch(5), FakeSwitch(6)
    for switch in (gone, first, second):
        await switch.call(f"{tmp_path}/openflow.sock")
        await until(lambda each=switch: each.sent(ofproto.OFPT_FEATURES_REQUEST), "the handshake")  # type: ignore[misc]
    await first.hung_up.wait()
    gone.close()
    controller = OpenFlowController(door, heard, NODES, 9, TIMING)
    await controller.start()
    await until(lambda: ("connected", "o") in heard.events, "the switch")
    assert second.sent(ofproto.OFPT_ROLE_REQUEST)
    await controller.close()
    second.close()
