"""The OpenFlow driver against real switches: what is written, read, refused, lost and found again."""

import pytest
from device_contract import deletes, inserts
from optical_lab import A, Optical, Z, crossing, holds, meter
from private_switch import frame, real_switch
from waiting import until

from controller.core.addresses import channel_address
from controller.core.entries import (
    SELECTOR,
    Change,
    CrossConnect,
    Operation,
    ProtectionGroup,
    SliceMeter,
    SlotAssignment,
)
from controller.core.errors import DeviceUnreachable

pytestmark = real_switch


async def test_entries_written_are_entries_read(optical: Optical) -> None:
    a, _ = await optical.nodes()
    entries = (
        SlotAssignment(7, 2, "odu1-1", (1, 2, 9), 2),
        meter(2),
        meter(1, direction=1),
        crossing(1, 2),
        crossing(2, 1, 0x060000010001, direction=1),
        crossing(1, 2, slice_id=0xFFFFFFFF),
        meter(5, slice_id=0xFFFFFFFF),
    )
    assert await a.apply(inserts(entries)) == []
    await holds(a, *entries)
    assert await a.apply(deletes(entries[3:])) == []
    await holds(a, *entries[:3])
    assert await a.apply(inserts(entries)) == []
    await holds(a, *entries)


async def test_flows_carry_the_mark_and_the_meter(optical: Optical) -> None:
    a, _ = await optical.nodes()
    await a.apply(inserts([meter(2), crossing(1, 2, 0x060000010001)]))
    (flow,) = [line for line in optical.switches[A].flows() if "02:00:00:00:07:00" in line]
    assert "cookie=0xc0de" in flow
    assert flow.split(",")[0].endswith("00000007")
    assert "actions=meter:1,set_field:06:00:00:01:00:01->eth_dst,output:2" in flow.replace("eth2", "2")


async def test_a_meter_that_comes_or_goes_takes_its_flow_along_and_never_down(optical: Optical) -> None:
    a, _ = await optical.nodes()
    await a.apply(inserts([crossing(1, 2)]))
    await a.apply(inserts([meter(2)]))
    assert any("02:00:00:00:07:00" in line and "meter:1" in line for line in optical.switches[A].flows())
    await a.apply(deletes([meter(2)]))
    await holds(a, crossing(1, 2))


async def test_a_cross_connect_is_turned_in_place_and_its_counters_go_on(optical: Optical) -> None:
    a, _ = await optical.nodes()
    await a.apply(inserts([crossing(1, 2)]))
    with optical.switches[A].socket("h1") as sender:
        sender.send(frame(channel_address(7, 0)))
    await until(lambda: optical.switches[A].packets("02:00:00:00:07:00") == 1, "the frame is counted")
    await a.apply([Change(Operation.MODIFY, crossing(1, 3))])
    await holds(a, crossing(1, 3))
    assert optical.switches[A].packets("02:00:00:00:07:00") == 1, "it is the same flow"


async def test_where_two_paths_of_a_slice_meet_either_port_is_taken(optical: Optical) -> None:
    a, _ = await optical.nodes()
    old, new = crossing(1, 2), crossing(3, 2)
    await a.apply(inserts([meter(2), old]))
    await a.apply(inserts([new]))
    await holds(a, meter(2), old, new)
    assert sum("meter:1" in line and "02:00:00:00:07:00" in line for line in optical.switches[A].flows()) == 2
    await a.apply(deletes([old]))
    await holds(a, meter(2), new)


async def test_flows_of_the_line_card_are_neither_shown_nor_touched(optical: Optical) -> None:
    """Its selectors have a mark of their own, in a table of their own; so might have anything else."""
    a, _ = await optical.nodes()
    switch = optical.switches[A]
    theirs = "cookie=0xc0df000000000007,priority=100,dl_dst=02:00:00:00:07:00,actions=output:2"
    switch.ofctl("add-flow", f"table=1,{theirs}")
    switch.ofctl("add-flow", f"in_port=1,{theirs}")
    switch.ofctl("add-flow", "table=3,cookie=0xc0de000000000007,in_port=1,actions=drop")  # ours, of no shape we know
    to_selector = crossing(1, SELECTOR, slice_id=8)
    await a.apply(inserts([meter(2, slice_id=8), to_selector]))
    await holds(a, meter(2, slice_id=8), to_selector)
    await a.apply(deletes([meter(2, slice_id=8), to_selector, crossing(1, 2)]))
    await holds(a)
    assert sum("cookie=0xc0df000000000007" in line for line in switch.flows()) == 2
    assert not any("table=3" in line for line in switch.flows())


async def test_a_slice_waits_for_its_selector(optical: Optical) -> None:
    """Sent to a selector that the line card could not set up, its traffic would be lost."""
    a, _ = await optical.nodes()
    await optical.line_cards[A].stop(0)
    group, first, other = ProtectionGroup(7, 8, 0, 2, 3), crossing(1, SELECTOR), crossing(3, 2, slice_id=9)
    rejections = await a.apply(inserts([group, meter(2), first, other]))
    assert [(r.change.entry, r.transient) for r in rejections] == [(group, True), (first, True)]
    await holds(a, meter(2), other)


async def test_what_is_gone_by_hand_is_gone_from_read_and_comes_back(optical: Optical) -> None:
    a, _ = await optical.nodes()
    await a.apply(inserts([meter(2), crossing(1, 2)]))
    optical.switches[A].ofctl("del-flows")
    await holds(a)
    assert await a.apply(inserts([meter(2), crossing(1, 2)])) == []
    await holds(a, meter(2), crossing(1, 2))


async def test_a_flow_that_bypasses_its_meter_is_not_shown(optical: Optical) -> None:
    a, _ = await optical.nodes()
    await a.apply(inserts([meter(2), crossing(1, 2)]))
    optical.switches[A].ofctl("mod-flows", "dl_dst=02:00:00:00:07:00,actions=output:2")
    await holds(a, meter(2))


async def test_a_refused_change_comes_back_with_the_switchs_words_and_the_rest_stands(optical: Optical) -> None:
    a, _ = await optical.nodes()
    optical.switches[A].ofctl("add-meter", "meter=1,kbps,band=type=drop,rate=1000")
    await holds(a)
    optical.switches[A].ofctl("del-meters", "meter=1")
    optical.switches[A].ofctl("add-meter", "meter=2,kbps,band=type=drop,rate=1000")
    bad = inserts([meter(2)])  # takes id 2, which it believes to be free
    rejections = await a.apply([*bad, *inserts([crossing(1, 2, slice_id=8)])])
    assert [(r.change, r.code, r.transient) for r in rejections] == [
        (bad[0], "OFPET_METER_MOD_FAILED/OFPMMFC_METER_EXISTS", True)
    ]
    await holds(a, crossing(1, 2, slice_id=8))
    assert await a.apply(bad) == []
    assert "rate=1000" in optical.switches[A].ofctl("dump-meters")


async def test_nonsense_is_refused_without_asking_the_switch(optical: Optical) -> None:
    a, _ = await optical.nodes()
    wrong = CrossConnect(7, 1, 1, channel_address(7, 0), 2)
    rejections = await a.apply(inserts([wrong, crossing(1, 2, slice_id=8), SliceMeter(0, 0, 1000, 10)]))
    assert [r.code for r in rejections] == ["INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    await holds(a, crossing(1, 2, slice_id=8))


async def test_foreign_flows_and_meters_are_neither_shown_nor_touched(optical: Optical) -> None:
    a, _ = await optical.nodes()
    switch = optical.switches[A]
    switch.ofctl("add-meter", "meter=1,kbps,band=type=drop,rate=1000")
    switch.ofctl("add-flow", "cookie=0x1234,priority=100,in_port=1,dl_dst=02:00:00:00:09:00,actions=meter:1,output:2")
    await holds(a)
    await a.apply(inserts([meter(2), crossing(1, 2)]))
    await a.apply(deletes([meter(2), crossing(1, 2), crossing(1, 2, slice_id=9)]))
    assert any("cookie=0x1234" in line for line in switch.flows())
    assert "rate=1000" in switch.ofctl("dump-meters")
    await holds(a)


async def test_another_slices_slot_is_refused_by_the_line_card(optical: Optical) -> None:
    a, _ = await optical.nodes()
    held, thief = SlotAssignment(7, 2, "odu1-1", (1, 2), 2), SlotAssignment(8, 2, "odu1-1", (2, 3), 2)
    rejections = await a.apply(inserts([held, thief]))
    assert [(r.change.entry, r.code) for r in rejections] == [(thief, "FAILED_PRECONDITION")]
    await holds(a, held)


async def test_without_its_line_card_a_node_still_carries_traffic_and_is_filled_when_it_returns(
    optical: Optical,
) -> None:
    a, _ = await optical.nodes()
    slots = SlotAssignment(7, 2, "odu1-1", (1, 2), 2)
    assert await a.apply(inserts([slots])) == []
    await optical.line_cards[A].stop(0)
    rejections = await a.apply(inserts([slots, crossing(1, 2)]))
    assert [(r.change.entry, r.transient) for r in rejections] == [(slots, True)]
    await holds(a, slots, crossing(1, 2))
    deletes_it = await a.apply(deletes([slots]))
    assert [r.transient for r in deletes_it] == [True], "nothing is gone because nobody says so"
    optical.forget()
    await optical.start_line_card(A)
    await optical.hears("connected", A)
    await holds(a, crossing(1, 2))
    assert await a.apply(inserts([slots])) == []
    await holds(a, slots, crossing(1, 2))


async def test_the_first_word_on_ports_and_a_lost_carrier(optical: Optical) -> None:
    await optical.nodes()
    await optical.hears_port(A, 1, True)
    await optical.hears_port(A, 2, True)
    optical.switches[A].carrier("h1", up=False)
    await optical.hears_port(A, 1, False)
    optical.forget()
    optical.switches[A].carrier("h1", up=True)
    await optical.hears_port(A, 1, True)
    assert not [port for port in optical.heard.ports if port[0] == Z]


async def test_a_stale_epoch_is_refused_by_switch_and_line_card(
    optical: Optical, caplog: pytest.LogCaptureFixture
) -> None:
    a, _ = await optical.nodes()
    slots = SlotAssignment(7, 2, "odu1-1", (1,), 1)
    await a.apply(inserts([crossing(1, 2), slots]))
    await optical.controllers[0].close()
    optical.forget()
    stale = await optical.controller(epoch=1)
    rejected = await stale.nodes[A]._line_card.apply(deletes([slots]))
    assert [(r.code, r.transient) for r in rejected] == [("PERMISSION_DENIED", False)]
    await until(lambda: caplog.text.count("epoch 1 is not accepted as primary") == 2, "both switches to refuse")
    with pytest.raises(DeviceUnreachable):
        await stale.nodes[A].apply(deletes([crossing(1, 2)]))
    assert ("connected", A) not in optical.heard.events
    assert any("02:00:00:00:07:00" in line for line in optical.switches[A].flows())


async def test_a_restarted_switch_is_announced_and_empty(optical: Optical) -> None:
    a, z = await optical.nodes()
    slots = SlotAssignment(7, 2, "odu1-1", (1,), 1)
    await a.apply(inserts([slots, meter(2), crossing(1, 2)]))
    await z.apply(inserts([meter(2), crossing(2, 1)]))
    optical.forget()
    optical.switches[A].kill("ovs-vswitchd")
    await optical.hears("disconnected", A)
    assert not a.connected
    with pytest.raises(DeviceUnreachable):
        await a.read()
    optical.switches[A].start_vswitchd()
    await optical.hears("connected", A)
    await holds(a, slots)
    assert await a.apply(inserts([meter(2), crossing(1, 2)])) == []
    await holds(a, slots, meter(2), crossing(1, 2))
    assert ("disconnected", Z) not in optical.heard.events


async def test_a_frozen_switch_is_found_by_its_silence(optical: Optical) -> None:
    a, _ = await optical.nodes()
    optical.switches[A].freeze(True)
    try:
        await optical.hears("disconnected", A)
        assert not a.connected
    finally:
        optical.switches[A].freeze(False)
    optical.forget()
    await optical.hears("connected", A)


async def test_a_new_controller_finds_what_stands(optical: Optical) -> None:
    a, _ = await optical.nodes()
    entries = (SlotAssignment(7, 2, "odu1-1", (1,), 1), meter(2), crossing(1, 2))
    await a.apply(inserts(entries))
    await optical.controllers[0].close()
    optical.forget()
    a, _ = await optical.nodes()
    await holds(a, *entries)
    assert await a.apply(deletes(entries)) == []
    await holds(a)
