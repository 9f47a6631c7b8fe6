"""Line-card programs beside real switches: resizing in band, and protection switching."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from line_card_lab import CLIENT, A, B, C, LineCardLab, holding, three_switches
from private_switch import Capture, frame, real_switch
from waiting import wait_until

from controller.core.addresses import channel_address, mac_text
from controller.core.otn import metering
from controller.core.otn.rates import FGTS_ETHERNET_BPS
from controller.linecard.gen import line_card_pb2 as pb

pytestmark = real_switch

SLICE, SPARE = 7, 8
ROUTER = "06:00:00:00:00:01"
WAIT_S = 0.6


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineCardLab]:
    directory = tmp_path_factory.mktemp("lc")
    with three_switches(directory) as switches:
        lab = LineCardLab(directory, switches)
        try:
            for node in (A, B, C):
                lab.start(node, "--step-ms", "0", "--wait-to-restore-s", str(WAIT_S))
            for node in (A, B, C):
                lab.reach(node)
            yield lab
        finally:
            lab.stop()


@pytest.fixture
def lab(started: LineCardLab) -> LineCardLab:
    for node in (A, B, C):
        started.empty(node)
    return started


def build_chain(lab: LineCardLab, count: int) -> None:
    """Slice 7 along a, b, c; meter 1 forward, 2 reverse."""
    lab.cross_connect(A, SLICE, 0, (CLIENT, "output:2"), 1, count, transit=False)
    lab.cross_connect(B, SLICE, 0, (2, "output:3"), 1, count, transit=True)
    lab.cross_connect(C, SLICE, 0, (3, f"set_field:{ROUTER}->eth_dst,output:1"), 1, count, transit=True)
    lab.cross_connect(C, SLICE, 1, (CLIENT, "output:3"), 2, count, transit=False)
    lab.cross_connect(B, SLICE, 1, (3, "output:2"), 2, count, transit=True)
    lab.cross_connect(A, SLICE, 1, (2, f"set_field:{ROUTER}->eth_dst,output:1"), 2, count, transit=True)
    near, far = range(1, 120), range(238, 119, -1)
    lab.apply(A, holding(SLICE, 2, near, count))
    lab.apply(B, holding(SLICE, 2, near, count), holding(SLICE, 3, far, count))
    lab.apply(C, holding(SLICE, 3, far, count))


def expected_meters(count: int) -> dict[tuple[str, int], tuple[int, int]]:
    ends = {(A, 1), (C, 2)}
    return {
        (node, meter): metering.limit(count, FGTS_ETHERNET_BPS, (node, meter) not in ends)
        for node in (A, B, C)
        for meter in (1, 2)
    }


def standing_meters(lab: LineCardLab) -> dict[tuple[str, int], tuple[int, int]]:
    return {(node, meter): lab.meter(node, meter) for node in (A, B, C) for meter in (1, 2)}


def test_ten_resizes_in_band_set_sizes_and_meters_on_every_hop(lab: LineCardLab) -> None:
    build_chain(lab, 5)
    sizes = random.Random(1)
    for _ in range(10):
        count = sizes.randint(1, 119)
        assert lab.resize(A, SLICE, count).state == pb.ResizeNotice.MODIFIED_OK
        assert [lab.size(node, SLICE) for node in (A, B, C)] == [(count, count)] * 3
        assert standing_meters(lab) == expected_meters(count)


def test_a_hop_without_the_slots_rejects_and_all_is_as_it_was(lab: LineCardLab) -> None:
    build_chain(lab, 5)
    lab.apply(C, holding(SLICE, 3, range(238, 228, -1), 5))
    notice = lab.resize(A, SLICE, 11)
    assert (notice.state, notice.reason) == (pb.ResizeNotice.MODIFY_FAILED, "REJECTED")
    assert [lab.size(node, SLICE) for node in (A, B, C)] == [(5, 5)] * 3
    assert standing_meters(lab) == expected_meters(5)


def test_a_switch_that_lost_all_has_the_committed_size_a_second_after_it_is_filled_again(lab: LineCardLab) -> None:
    build_chain(lab, 5)
    lab.resize(A, SLICE, 20)
    lab.switches[B].clear()
    lab.cross_connect(B, SLICE, 0, (2, "output:3"), 1, 5, transit=True)
    lab.cross_connect(B, SLICE, 1, (3, "output:2"), 2, 5, transit=True)
    filled = time.monotonic()
    wait_until(lambda: standing_meters(lab) == expected_meters(20), "the meters of b")
    assert time.monotonic() - filled < 2.0


def test_what_a_client_calls_in_band_enters_no_channel(lab: LineCardLab) -> None:
    build_chain(lab, 5)
    drop = "in_port=1,dl_type=0x88b6 actions=drop"
    wait_until(
        lambda: all(sum(drop in f for f in lab.switches[end].flows()) == 1 for end in (A, C)), "drops at clients"
    )
    assert not any("dl_type=0x88b6" in flow for flow in lab.switches[B].flows())
    channel = channel_address(SLICE, 0)
    heard = Capture(lab.switches[C].socket("h1"))
    with lab.switches[A].socket("h1") as sender:
        sender.send(frame(channel, b"forged", ethertype=0x88B6))
        sender.send(frame(channel, b"honest"))
        wait_until(lambda: heard.frames, "what follows it")
    heard.close()
    assert [data[14:20] for data in heard.payloads] == [b"honest"]


def build_protected(lab: LineCardLab) -> None:
    """Slice 7 on the fibre from a to c, slice 8 by b to protect it; a and c send to the selector."""
    drop = f"set_field:{ROUTER}->eth_dst,output:1"
    for end, direction in ((A, 0), (C, 1)):
        lab.cross_connect(end, SLICE, direction, (CLIENT, "goto_table:1"), 1, 5, transit=False)
        lab.cross_connect(end, SLICE, 1 - direction, (4, drop), 2, 5, transit=True)
    lab.cross_connect(A, SPARE, 1, (2, drop), 3, 5, transit=True)
    lab.cross_connect(C, SPARE, 0, (3, drop), 3, 5, transit=True)
    lab.cross_connect(B, SPARE, 0, (2, "output:3"), 3, 5, transit=True)
    lab.cross_connect(B, SPARE, 1, (3, "output:2"), 4, 5, transit=True)
    for end, direction, port in ((A, 0, 2), (C, 1, 3)):
        protect(lab, end, direction, port)


def protect(lab: LineCardLab, end: str, direction: int, port: int) -> None:
    group = pb.ProtectionGroup(
        working=SLICE, protection=SPARE, direction=direction, working_port=4, protection_port=port
    )
    lab.apply(end, holding(SLICE, 4, [1], 1), holding(SPARE, port, [1], 1), pb.SlotChange(protect=group))


def whole(lab: LineCardLab, end: str) -> pb.ProtectionStatus:
    """Waits until both paths of the end bring frames."""
    for status in lab.stubs[end].WatchProtection(pb.WatchProtectionRequest(), timeout=10):
        if status.working_ok and status.protection_ok:
            return status
    raise AssertionError("the stream ended")


def on_working(lab: LineCardLab) -> bool:
    return all(lab.selector(end) == "output:4" for end in (A, C))


def on_protection(lab: LineCardLab) -> bool:
    channels = {end: mac_text(channel_address(SPARE, way)) for end, way in ((A, 0), (C, 1))}
    ports = {A: 2, C: 3}
    return all(lab.selector(end) == f"set_field:{channels[end]}->eth_dst,output:{ports[end]}" for end in (A, C))


def test_a_cut_moves_both_selectors_in_time_and_they_return(lab: LineCardLab) -> None:
    build_protected(lab)
    for end in (A, C):
        whole(lab, end)
    wait_until(lambda: on_working(lab), "selectors on working")
    times = []
    for _ in range(3):
        streams = [lab.stubs[end].WatchProtection(pb.WatchProtectionRequest(), timeout=10) for end in (A, C)]
        for stream in streams:
            assert not next(stream).on_protection
        cut = time.monotonic()
        lab.switches[A].carrier("eth4", up=False)
        for stream in streams:
            while not next(stream).on_protection:
                pass
            times.append(time.monotonic() - cut)
        wait_until(lambda: on_protection(lab), "selectors on protection")
        lab.switches[A].carrier("eth4", up=True)
        wait_until(lambda: on_working(lab), "selectors on working again")
    print("selector moved after ms:", [round(seconds * 1000, 1) for seconds in times])
    assert sorted(times)[len(times) // 2] < 0.05


def test_a_line_card_that_dies_and_comes_back_leaves_traffic_where_it_is(lab: LineCardLab) -> None:
    build_protected(lab)
    for end in (A, C):
        whole(lab, end)
    lab.switches[A].carrier("eth4", up=False)
    wait_until(lambda: on_protection(lab), "selectors on protection")
    lab.kill(A)
    lab.start(A, "--step-ms", "0", "--wait-to-restore-s", str(WAIT_S))
    lab.reach(A)
    assert on_protection(lab)
    protect(lab, A, 0, 2)
    lab.switches[A].carrier("eth4", up=True)
    assert whole(lab, A).on_protection  # its wait starts anew, and the other end waits with it
    wait_until(lambda: on_working(lab), "selectors on working again")
