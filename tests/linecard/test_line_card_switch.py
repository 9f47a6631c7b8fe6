"""What the line card writes into a real switch, and what it leaves alone. A tap on the socket counts the writes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from line_card_lab import add_meter, meters
from private_switch import PrivateSwitch, real_switch
from waiting import until

from controller.background import background, stopped
from controller.core.addresses import channel_address
from controller.core.entries import ProtectionGroup
from controller.core.otn import metering
from controller.core.otn.rates import FGTS_ETHERNET_BPS
from controller.linecard.selector_flows import FlowKey, OwnFlow, flows_of, selector
from controller.linecard.switch import Switch

pytestmark = real_switch

FLOW_MOD, METER_MOD = 14, 29
"""OpenFlow 1.3.5, A.1."""
GROUP = ProtectionGroup(working=7, protection=8, direction=0, working_port=2, protection_port=3)


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSwitch]:
    alone = PrivateSwitch(f"lcs-{os.getpid()}", tmp_path_factory.mktemp("ovs"), 1)
    try:
        alone.start()
        yield alone
    finally:
        alone.stop()


@dataclass
class Tap:
    """Carries a socket's bytes on, and counts the messages that go to the switch by type."""

    path: Path
    onward: Path
    written: Counter[int] = field(default_factory=Counter)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self._serve, self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_unix_connection(self.onward)
        self._writers += [writer, there]
        copying = asyncio.create_task(self._copy(back, writer))
        try:
            while header := await reader.readexactly(8):
                self.written[header[1]] += 1
                body = await reader.readexactly(int.from_bytes(header[2:4], "big") - 8)
                there.write(header + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            copying.cancel()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()


@dataclass
class Wants:
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    groups: dict[ProtectionGroup, bool] = field(default_factory=dict)
    removing: bool = False
    ports: Collection[int] = ()
    """Those that the switch had at last."""

    def carried(self, slice_id: int, direction: int) -> tuple[int, int] | None:
        count = self.sizes.get((slice_id, direction))
        return None if count is None else (count, FGTS_ETHERNET_BPS)

    def flows(self, ports: Collection[int]) -> Mapping[FlowKey, OwnFlow]:
        self.ports = ports
        return {flow.key: flow for group, moved in self.groups.items() for flow in flows_of(group, moved)}

    def may_remove(self, working: int) -> bool:
        return self.removing


@dataclass
class Kept:
    switch: PrivateSwitch
    wants: Wants
    card: Switch
    tap: Tap

    async def looked(self) -> None:
        """Twice more since now: what was wrong has been seen and repaired."""
        asked = self.tap.written[18]
        self.card.changed()
        await until(lambda: self.tap.written[18] > asked, "a look")
        asked = self.tap.written[18]
        self.card.changed()
        await until(lambda: self.tap.written[18] > asked + 3, "a look")

    @property
    def writes(self) -> tuple[int, int]:
        return self.tap.written[FLOW_MOD], self.tap.written[METER_MOD]


@pytest.fixture
async def kept(tmp_path: Path, switch: PrivateSwitch) -> AsyncIterator[Kept]:
    switch.clear()
    tap, wants = Tap(tmp_path / "tap", switch.directory / "br0.mgmt"), Wants()
    await tap.start()
    card = Switch(str(tap.path), wants)
    running = background(card.run(), "switch")
    assert await card.seen(10)
    yield Kept(switch, wants, card, tap)
    await stopped([running])
    tap.hang_up()
    tap.server.close()


def limits(count: int) -> tuple[int, int]:
    return metering.limit(count, FGTS_ETHERNET_BPS, False)


async def test_meters_follow_and_what_is_right_is_never_written(kept: Kept) -> None:
    add_meter(kept.switch, 7, 0, 1, 5, transit=False)
    add_meter(kept.switch, 7, 1, 2, 5, transit=True)
    add_meter(kept.switch, 9, 0, 3, 5, transit=False, follows=False)
    kept.wants.sizes = {(7, 0): 5, (7, 1): 5, (9, 0): 50}
    assert await kept.card.confirm(7)
    await kept.looked()
    assert kept.writes == (0, 0)
    kept.wants.sizes[7, 0] = 6
    assert await kept.card.confirm(7)
    assert kept.writes == (0, 1)
    assert meters(kept.switch)[1] == limits(6)  # confirmed is in force
    await kept.looked()
    assert kept.writes == (0, 1)
    assert meters(kept.switch) == {1: limits(6), 2: metering.limit(5, FGTS_ETHERNET_BPS, True), 3: limits(5)}


async def test_a_meter_that_the_controller_made_anew_is_set_without_being_asked(kept: Kept) -> None:
    kept.wants.sizes = {(7, 0): 9}
    add_meter(kept.switch, 7, 0, 1, 5, transit=False)
    await until(lambda: meters(kept.switch)[1] == limits(9), "the meter", 3)


async def test_flows_come_back_and_foreign_ones_stay(kept: Kept) -> None:
    foreign = "cookie=0xc0de000000000007,table=1,priority=100,dl_dst=02:00:00:00:63:00,actions=output:1"
    kept.switch.ofctl("add-flow", foreign)
    kept.wants.groups[GROUP] = False
    kept.card.changed()
    await until(lambda: len(kept.switch.flows()) == 4, "selector and two ends")
    assert all(flow.startswith(" cookie=0xc0d") for flow in kept.switch.flows())
    kept.switch.ofctl("del-flows")
    kept.switch.ofctl("add-flow", foreign)
    await until(lambda: len(kept.switch.flows()) == 4, "all of them again", 3)
    await kept.looked()
    before = kept.writes
    await kept.looked()
    assert kept.writes == before
    kept.wants.groups.clear()
    kept.wants.removing = True
    kept.card.changed()
    await until(lambda: len(kept.switch.flows()) == 1, "the foreign one alone")


async def test_flows_are_confirmed_when_the_switch_has_them(kept: Kept) -> None:
    await kept.looked()
    kept.wants.groups[GROUP] = True
    await kept.card.confirm_flows(10)
    assert len(kept.switch.flows()) == 3
    assert kept.card.standing(channel_address(7, 0)) == selector(GROUP, True)
    kept.switch.freeze(True)
    try:
        kept.wants.groups[GROUP] = False
        await kept.card.confirm_flows(0.1)
        assert kept.card.standing(channel_address(7, 0)) == selector(GROUP, True)
    finally:
        kept.switch.freeze(False)


async def test_a_selector_found_is_left_until_somebody_knows_better(kept: Kept) -> None:
    channel = channel_address(7, 0)
    kept.wants.groups[GROUP] = True
    kept.card.changed()
    await until(lambda: kept.card.standing(channel) == selector(GROUP, True), "the selector")
    kept.wants.groups.clear()
    kept.tap.hang_up()
    await kept.looked()
    assert kept.card.standing(channel) == selector(GROUP, True)


async def test_a_switch_that_hangs_up_is_called_again_and_confirms_nothing_meanwhile(kept: Kept) -> None:
    add_meter(kept.switch, 7, 0, 1, 5, transit=False)
    kept.wants.sizes = {(7, 0): 6}
    kept.tap.server.close()
    kept.tap.hang_up()
    for _ in range(20):
        assert not await kept.card.confirm(7)
        await asyncio.sleep(0.005)
    kept.tap.path.unlink(missing_ok=True)
    await kept.tap.start()
    await until(lambda: meters(kept.switch)[1] == limits(6), "the meter")
    assert await kept.card.confirm(7)
