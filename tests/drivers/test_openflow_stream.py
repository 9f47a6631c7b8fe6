"""The OpenFlow driver against a switch that misbehaves on purpose."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from device_contract import Recorder, deletes, inserts
from fake_switch import FakeSwitch, Request, port_desc
from optical_lab import crossing, meter
from waiting import until

from controller.core.entries import Change, Operation, ProtectionGroup, Rejection
from controller.core.errors import DeviceUnreachable, Invalid
from controller.drivers.openflow import OpenFlowController
from controller.drivers.openflow_stream import SwitchStream, Timing
from controller.drivers.osken_native import NativeDatapath, ofproto
from controller.drivers.otn_node import OtnNode

TIMING = Timing(deadline_s=0.3, echo_interval_s=0.05, echo_misses=3)
NAMES = {ofproto.OFPT_METER_MOD: "meter", ofproto.OFPT_FLOW_MOD: "flow", ofproto.OFPT_BARRIER_REQUEST: "barrier"}
NO_LINE_CARD = "unix:/nonexistent/linecard.sock"


class Bench:
    """A controller for node `o` (datapath id 5) and the switches that call it."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "openflow.sock")
        self.heard = Recorder()
        self.controller = OpenFlowController(f"unix:{self.path}", self.heard, {5: ("o", NO_LINE_CARD)}, 9, TIMING)
        self.switches: list[FakeSwitch] = []

    async def switch(self, datapath_id: int = 5) -> FakeSwitch:
        self.switches.append(FakeSwitch(datapath_id))
        await self.switches[-1].call(self.path)
        return self.switches[-1]

    async def connected(self) -> tuple[FakeSwitch, OtnNode]:
        switch = await self.switch()
        await until(lambda: ("connected", "o") in self.heard.events, "the switch")
        return switch, self.controller.nodes["o"]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    built = Bench(tmp_path)
    await built.controller.start()
    yield built
    for switch in built.switches:
        switch.close()
    await built.controller.close()


async def test_the_greeting_claims_mastership_by_epoch_and_lays_the_nodes_own_flows(bench: Bench) -> None:
    switch, node = await bench.connected()
    (role,) = switch.sent(ofproto.OFPT_ROLE_REQUEST)
    assert struct.unpack("!I4xQ", role.body) == (ofproto.OFPCR_ROLE_MASTER, 9)
    flows = [request.flow() for request in switch.sent(ofproto.OFPT_FLOW_MOD)]
    assert [flow.cookie for flow in flows] == [0xC0DE_0009_0000_0000] * 2
    assert flows[0].match["eth_type"] == 0x88CC
    assert flows[0].match["eth_dst"] == "01:80:c2:00:00:0e"
    assert flows[1].priority == 0
    assert flows[1].instructions == []
    assert bench.heard.ports == [("o", 1, True)]
    assert node.connected


async def test_a_port_that_goes_down_during_the_greeting_is_announced_as_down(bench: Bench) -> None:
    switch = await bench.switch()

    def lose_carrier(request: Request) -> bool:
        if request.kind == ofproto.OFPT_FLOW_MOD:
            switch.send(ofproto.OFPT_PORT_STATUS, 0, struct.pack("!B7x", ofproto.OFPPR_MODIFY) + port_desc(down=True))
        return False

    switch.mute = lose_carrier
    await until(lambda: bool(bench.heard.ports), "the first word on ports")
    assert bench.heard.ports == [("o", 1, False)]


async def test_a_change_counts_only_when_the_barrier_is_answered(bench: Bench) -> None:
    switch, node = await bench.connected()
    switch.mute = lambda request: request.kind == ofproto.OFPT_BARRIER_REQUEST
    with pytest.raises(DeviceUnreachable, match="OFPBarrierRequest"):
        await node.apply(inserts([crossing(1, 2)]))
    switch.mute = lambda request: False
    switch.heard.clear()
    assert await node.apply(inserts([crossing(1, 2)])) == []
    kinds = [request.kind for request in switch.heard if request.kind != ofproto.OFPT_ECHO_REQUEST]
    assert kinds[0] == ofproto.OFPT_MULTIPART_REQUEST, "it must look before it writes again"


async def test_what_the_switch_says_under_the_same_number_is_no_answer(bench: Bench) -> None:
    """Transaction ids are each side's own."""
    switch, node = await bench.connected()

    def tell_first(request: Request) -> bool:
        if request.kind == ofproto.OFPT_MULTIPART_REQUEST:
            told = struct.pack("!B7x", ofproto.OFPPR_MODIFY) + port_desc()
            switch.send(ofproto.OFPT_PORT_STATUS, request.xid, told)
        return False

    switch.mute = tell_first
    assert await node.read() == {}, "this switch keeps nothing"


async def test_a_meter_stands_before_its_flow_and_goes_after_it(bench: Bench) -> None:
    switch, node = await bench.connected()
    switch.heard.clear()
    await node.apply(inserts([crossing(1, 2), meter(2)]))
    await node.apply(deletes([crossing(1, 2), meter(2)]))
    kinds = [NAMES[request.kind] for request in switch.heard if request.kind in NAMES]
    assert kinds == ["meter", "barrier", "flow", "flow", "barrier", "flow", "barrier", "meter", "barrier"]
    commands = [struct.unpack_from("!H", request.body)[0] for request in switch.sent(ofproto.OFPT_METER_MOD)]
    assert commands == [ofproto.OFPMC_ADD, ofproto.OFPMC_DELETE]


async def test_an_equal_meter_is_not_written_again(bench: Bench) -> None:
    switch, node = await bench.connected()
    await node.apply(inserts([meter(2)]))
    await node.apply(inserts([meter(2)]))
    assert len(switch.sent(ofproto.OFPT_METER_MOD)) == 1


async def test_errors_find_their_change(bench: Bench) -> None:
    switch, node = await bench.connected()

    def refuse(request: Request) -> tuple[int, int] | None:
        full = request.kind == ofproto.OFPT_FLOW_MOD and request.flow().cookie & 0xFFFFFFFF == 8
        return (ofproto.OFPET_FLOW_MOD_FAILED, ofproto.OFPFMFC_TABLE_FULL) if full else None

    switch.refuse = refuse
    changes = inserts([crossing(1, 2, slice_id=slice_id) for slice_id in (7, 8, 9)])
    (rejection,) = await node.apply(changes)
    assert rejection.change is changes[1]
    assert rejection.code == "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"
    assert not rejection.transient


async def test_a_refused_meter_keeps_its_flow_out(bench: Bench) -> None:
    switch, node = await bench.connected()
    full = (ofproto.OFPET_METER_MOD_FAILED, ofproto.OFPMMFC_OUT_OF_METERS)
    switch.refuse = lambda request: full if request.kind == ofproto.OFPT_METER_MOD else None
    switch.heard.clear()
    changes = inserts([meter(2), crossing(1, 2)])
    rejections = await node.apply(changes)
    assert [rejection.change for rejection in rejections] == changes
    assert {rejection.code for rejection in rejections} == {"OFPET_METER_MOD_FAILED/OFPMMFC_OUT_OF_METERS"}
    assert switch.sent(ofproto.OFPT_FLOW_MOD) == []


async def test_a_switch_that_has_seen_a_newer_controller_is_not_ours(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    switch = await bench.switch()
    stale = (ofproto.OFPET_ROLE_REQUEST_FAILED, ofproto.OFPRRFC_STALE)
    switch.refuse = lambda request: stale if request.kind == ofproto.OFPT_ROLE_REQUEST else None
    await until(lambda: "epoch 9 is not accepted as primary" in caplog.text, "the refusal")
    assert bench.heard.events == []
    assert not bench.controller.nodes["o"].connected


async def test_a_controller_that_lost_mastership_steps_down_at_its_next_write(bench: Bench) -> None:
    switch, node = await bench.connected()
    slave = (ofproto.OFPET_BAD_REQUEST, ofproto.OFPBRC_IS_SLAVE)
    switch.refuse = lambda request: slave if request.kind == ofproto.OFPT_FLOW_MOD else None
    (rejection,) = await node.apply(inserts([crossing(1, 2)]))
    assert rejection.code == "OFPET_BAD_REQUEST/OFPBRC_IS_SLAVE"
    assert bench.heard.events == [("connected", "o"), ("disconnected", "o")]
    with pytest.raises(DeviceUnreachable):
        await node.apply([])


class RecordingLineCard:
    """Obeys, and records what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    async def apply(self, changes: Sequence[Change]) -> list[Rejection]:
        self.told += [change.entry for change in changes]
        return []

    async def resize(self, slice_id: int, count: int) -> None:
        self.told.append((slice_id, count))

    force = resize

    async def close(self) -> None:
        pass


def recorded(node: OtnNode, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    line_card = RecordingLineCard()
    monkeypatch.setattr(node, "_line_card", line_card)
    return line_card.told


async def test_a_controller_that_lost_mastership_changes_nothing_at_the_line_card(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, node = await bench.connected()
    told = recorded(node, monkeypatch)
    slave = (ofproto.OFPET_BAD_REQUEST, ofproto.OFPBRC_IS_SLAVE)
    switch.refuse = lambda request: slave if request.kind == ofproto.OFPT_FLOW_MOD else None
    batch = [*inserts([crossing(1, 2)]), *deletes([ProtectionGroup(9, 8, 0, 2, 3)])]
    for call in (node.apply(batch), node.resize(7, 3), node.force(7, 3)):
        with pytest.raises(DeviceUnreachable):
            await call
    assert told == []


async def test_a_selector_stays_while_its_slice_may_still_be_sent_to_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch, node = await bench.connected()
    told = recorded(node, monkeypatch)
    full = (ofproto.OFPET_FLOW_MOD_FAILED, ofproto.OFPFMFC_TABLE_FULL)

    def refuse(request: Request) -> tuple[int, int] | None:
        its_flow = request.kind == ofproto.OFPT_FLOW_MOD and request.flow().cookie & 0xFFFFFFFF == 7
        return full if its_flow else None

    switch.refuse = refuse
    kept, gone = ProtectionGroup(7, 8, 0, 2, 3), ProtectionGroup(9, 10, 0, 2, 3)
    turned = [Change(Operation.MODIFY, crossing(1, 2, slice_id=slice_id)) for slice_id in (7, 9)]
    rejections = await node.apply([*turned, *deletes([gone, kept])])
    assert [(r.change.entry, r.transient) for r in rejections] == [(turned[0].entry, False), (kept, True)]
    assert told == [gone]


async def test_a_cancellation_that_meets_the_answer_is_not_lost() -> None:
    class Wire:
        sent = 0

        def set_xid(self, message: object) -> int:
            self.sent += 1
            return self.sent

        def send_msg(self, message: object) -> None:
            pass

    stream = SwitchStream("o", cast(NativeDatapath, Wire()), Timing(echo_interval_s=100.0))
    asked = asyncio.create_task(stream.ask(SimpleNamespace()))
    await until(lambda: 2 in stream._requests, "the question behind the echo request")
    stream.received(SimpleNamespace(xid=2))
    asked.cancel()
    await asyncio.wait([asked])
    assert asked.cancelled()
    stream.lost()


async def test_a_silent_switch_is_hung_up_on(bench: Bench) -> None:
    switch, node = await bench.connected()
    switch.mute = lambda request: True
    await until(lambda: ("disconnected", "o") in bench.heard.events, "the silence to be noticed")
    assert not node.connected
    await asyncio.wait_for(switch.hung_up.wait(), 5)


async def test_a_switch_that_leaves_is_missed_at_once_and_its_pending_call_ends(bench: Bench) -> None:
    switch, node = await bench.connected()
    switch.heard.clear()
    switch.mute = lambda request: request.kind == ofproto.OFPT_MULTIPART_REQUEST
    pending = asyncio.create_task(node.read())
    await until(lambda: len(switch.sent(ofproto.OFPT_MULTIPART_REQUEST)) == 2, "the requests")
    switch.close()
    with pytest.raises(DeviceUnreachable, match="lost"):
        await pending
    assert bench.heard.events == [("connected", "o"), ("disconnected", "o")]


async def test_a_switch_that_calls_again_replaces_its_old_stream(bench: Bench) -> None:
    old, node = await bench.connected()
    new = await bench.switch()
    await asyncio.wait_for(old.hung_up.wait(), 5)
    await until(lambda: len(bench.heard.events) == 3, "the new stream")
    assert bench.heard.events == [("connected", "o"), ("disconnected", "o"), ("connected", "o")]
    await node.send_frame(1, b"\0" * 60)
    await until(lambda: bool(new.sent(ofproto.OFPT_PACKET_OUT)), "the frame on the new stream")


async def test_a_switch_that_nobody_planned_is_hung_up_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    stranger = await bench.switch(datapath_id=666)
    await asyncio.wait_for(stranger.hung_up.wait(), 5)
    assert "666 is not in the inventory" in caplog.text
    assert bench.heard.events == []


@pytest.mark.parametrize("words", [b"\xff\x00\x00\x08\0\0\0\0", b"\x04\x00\xff\xff", b""])
async def test_a_caller_that_is_no_switch_is_hung_up_on_and_the_others_are_not(bench: Bench, words: bytes) -> None:
    _, node = await bench.connected()
    reader, writer = await asyncio.open_unix_connection(bench.path)
    writer.write(words)  # an unknown version, half a message, nothing
    await asyncio.wait_for(reader.read(-1), 5)
    writer.close()
    assert dict(await node.read()) == {}
    assert bench.heard.events == [("connected", "o")]


async def test_close_ends_every_thread_and_frees_the_address(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    for _ in range(2):
        bench = Bench(tmp_path)
        await bench.controller.start()
        switch, _ = await bench.connected()
        half_open = socket.socket(socket.AF_UNIX)
        half_open.connect(bench.path)
        await bench.controller.close()
        await bench.controller.close()
        switch.close()
        half_open.close()
    started = {
        thread for thread in threading.enumerate() if thread not in before and not thread.name.startswith("asyncio")
    }
    assert not [thread for thread in started if "serve" in thread.name or "_send_loop" in thread.name]


async def test_tcp_and_addresses_that_are_none(bench: Bench) -> None:
    await bench.controller.close()
    for wrong in ("", "unix:", "tcp:6653", "6653", "tcp:localhost:port"):
        with pytest.raises(Invalid, match="neither"):
            await OpenFlowController(wrong, bench.heard, {}, 1).start()
    controller = OpenFlowController("tcp:127.0.0.1:0", bench.heard, {}, 1)
    await controller.start()
    await controller.close()


async def test_a_living_controllers_address_is_not_taken_away(bench: Bench) -> None:
    with pytest.raises(OSError, match="in use"):
        await OpenFlowController(f"unix:{bench.path}", bench.heard, {}, 1).start()
    await bench.connected()
