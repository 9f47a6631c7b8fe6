"""Two controllers of one device (P4Runtime, clause 5): who may write, who hears, and what fencing a target has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from device_contract import Recorder, deletes, inserts
from exceptions import differs
from finsy.proto import p4r
from p4_client import DELETE, INSERT, Client, Schema
from packet_world import CHANNEL, NEIGHBOUR, route
from relay import Relay
from scapy.layers.l2 import Ether
from targets import DEVICE_ID, Target
from waiting import until

from controller.core.errors import DeviceUnreachable

PRIMARY, NO_PRIMARY, BACKUP = 0, 5, 6
"""Status codes of arbitration: OK, NOT_FOUND, ALREADY_EXISTS."""
ENTRY = Schema().entry("route_v6", {"vrf": 7, "dst": "2001:db8:77::/64"}, "drop_route")
LLDP = bytes(Ether(src=NEIGHBOUR, dst=CHANNEL[1], type=0x88CC) / (b"z" * 50))


@pytest.fixture
def join(target: Target) -> Iterator[Callable[[int], Client]]:
    """A controller with a stream and this election id, which it does not wait for."""
    with contextlib.ExitStack() as stack:

        def joined(election_id: int) -> Client:
            client = Client(target.address, DEVICE_ID, election_id)
            stack.callback(client.close)
            client.stream.arbitrate(election_id)
            return client

        yield joined


def may_write(client: Client) -> bool:
    """By an insert and a delete."""
    code = _code(lambda: client.write(INSERT, [ENTRY]))
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED)
    if code is grpc.StatusCode.OK:
        client.write(DELETE, [ENTRY])
    return code is grpc.StatusCode.OK


def _code(call: Callable[[], object]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def ids(target: Target) -> tuple[int, int]:
    return target.next_election_id(), target.next_election_id()


def test_a_higher_id_takes_over(target: Target, join: Callable[[int], Client]) -> None:
    low, high = ids(target)
    first = join(low)
    assert first.stream.status() == PRIMARY
    assert may_write(first)
    second = join(high)
    assert second.stream.status() == PRIMARY
    assert first.stream.status() == BACKUP, "the one before is told"
    assert may_write(second)
    assert not may_write(first)


def test_a_lower_id_waits(target: Target, join: Callable[[int], Client]) -> None:
    low, high = ids(target)
    first = join(high)
    assert first.stream.status() == PRIMARY
    second = join(low)
    assert second.stream.status() == BACKUP
    assert not may_write(second)
    assert may_write(first)


def test_an_id_in_use_ends_the_stream(target: Target, join: Callable[[int], Client]) -> None:
    first = join(target.next_election_id())
    assert first.stream.status() == PRIMARY
    twin = join(first.election_id)
    assert twin.stream.ended.get(timeout=5).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert may_write(first)


def test_a_backup_may_raise_its_id(target: Target, join: Callable[[int], Client]) -> None:
    low, high = ids(target)
    first, second = join(high), None
    assert first.stream.status() == PRIMARY
    second = join(low)
    assert second.stream.status() == BACKUP
    second.election_id = target.next_election_id()
    second.stream.arbitrate(second.election_id)
    assert second.stream.status() == PRIMARY
    assert first.stream.status() == BACKUP
    assert may_write(second)
    assert not may_write(first)


def test_a_write_of_nobody(target: Target) -> None:
    """No stream is open and no election id given: only a target that does not fence takes it."""
    client = Client(target.address, DEVICE_ID, 0)
    updates = [p4r.Update(type=kind, entity=ENTRY) for kind in (INSERT, DELETE)]
    writes = [p4r.WriteRequest(device_id=DEVICE_ID, updates=[update]) for update in updates]
    codes = [_code(partial(client.stub.Write, write, timeout=5)) for write in writes]
    client.close()
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert codes == ([grpc.StatusCode.OK] * 2 if differs(target.name, "unfenced") else [denied] * 2)


def test_when_the_primary_leaves(target: Target, join: Callable[[int], Client]) -> None:
    """A target that fences promotes nobody: the bar stays at the highest id it has seen."""
    low, high = ids(target)
    backup, primary = join(low), join(high)
    assert [backup.stream.status(), backup.stream.status(), primary.stream.status()] == [PRIMARY, BACKUP, PRIMARY]
    primary.close()
    promoted = differs(target.name, "unfenced")
    assert backup.stream.status() == (PRIMARY if promoted else NO_PRIMARY)
    assert may_write(backup) == promoted


def test_a_lower_id_after_the_primary_left(target: Target, join: Callable[[int], Client]) -> None:
    """A controller of an old epoch that comes late is the primary only of a target that forgets."""
    low, high = ids(target)
    primary = join(high)
    assert primary.stream.status() == PRIMARY
    primary.close()
    late = join(low)
    forgets = differs(target.name, "unfenced")
    told = late.stream.status()
    if told == BACKUP:  # the device has yet to notice that the other one left
        told = late.stream.status()
    assert told == (PRIMARY if forgets else NO_PRIMARY)
    assert may_write(late) == forgets


def test_only_the_primary_hears_and_sends(target: Target, join: Callable[[int], Client]) -> None:
    low, high = ids(target)
    backup, primary = join(low), join(high)
    assert [backup.stream.status(), backup.stream.status(), primary.stream.status()] == [PRIMARY, BACKUP, PRIMARY]
    target.send(1, LLDP)
    assert primary.stream.packets.get(timeout=5).payload == LLDP
    backup.stream.send(2, LLDP)
    if not differs(target.name, "silent packet-out"):
        assert backup.stream.errors.get(timeout=5).packet_out.packet_out.payload == LLDP
    primary.stream.send(3, LLDP)
    assert target.receive(1) == [(3, LLDP)], "and nothing of the backup"
    assert target.receive(1, seconds=0.2) == []
    assert backup.stream.packets.empty()


async def test_a_controller_comes_back_over_its_own_stream_that_still_stands(target: Target, tmp_path: Path) -> None:
    """Nobody tells the target that the path died: it keeps the stream, and whose it is, for as long as that stands."""
    heard = Recorder()
    async with Relay(tmp_path / "relay.sock", target.socket_path) as relay:
        device = target.device(heard, target.next_epoch(), address=relay.address)
        device.start()
        for session in (1, 2, 3):
            await until(lambda n=session: heard.events.count(("connected", device.name)) == n, "the session")
            wanted = route("route_v6", 9, 0x2001 << 112, 16, 10)
            assert not await device.apply([*inserts([wanted]), *deletes([wanted])])
            relay.lose_the_path()
        await device.close()
    assert not device.fenced_off


async def test_a_tool_with_a_small_id_of_its_own_is_a_backup(target: Target, join: Callable[[int], Client]) -> None:
    async with target.controlled() as device:
        tool = join(1_000_000)
        assert await asyncio.to_thread(tool.stream.status) == BACKUP
        assert not await device.apply([])
        assert device.connected


async def test_a_newer_controller_fences_off_the_older(target: Target) -> None:
    """By the driver, which holds to it also where the target would not: no word of the old one gets through."""
    old_heard, new_heard = Recorder(), Recorder()
    async with target.controlled(old_heard) as old, target.controlled(new_heard) as new:
        await until(lambda: not old.connected, "the old one to know")
        assert new.connected
        wanted = route("route_v6", 9, 0x2001 << 112, 16, 10)
        assert not await new.apply(inserts([wanted]))
        with pytest.raises(DeviceUnreachable):
            await old.apply([])
        assert (await new.read())[wanted.key] == wanted
        assert not await new.apply(deletes([wanted]))
    assert [event for event, _ in old_heard.events] == ["connected", "disconnected"]
    assert new_heard.events[0][0] == "connected"
