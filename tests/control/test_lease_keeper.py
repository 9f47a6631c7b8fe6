"""What keeps a process from writing without a lease: a thread that renews, the kernel's timer, a file's lock."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from databases import execute
from running_controller import Controller, corridor
from simulated_network import SimulatedNetwork

from controller.core.errors import Conflict
from controller.core.model import Isolation
from controller.leadership import Candidate
from controller.lease_keeper import LEAD_LOST, LeaseKeeper
from controller.store import Store

TTL_S = 2.0
LEADER = """
import asyncio, sys, time
from controller.leadership import Candidate
from controller.lease_keeper import LeaseKeeper

async def lead():
    keeper = LeaseKeeper(sys.argv[1], Candidate("child", "child:1", "http://child"), float(sys.argv[2]))
    await keeper.start()
    print("epoch", await keeper.win(), flush=True)
    while True:
        if "busy" in sys.argv:
            time.sleep(2 * float(sys.argv[2]))  # as a long plan does: the loop stands still
            print("done", flush=True)
        await asyncio.sleep(0.05)

asyncio.run(lead())
"""


def candidate(name: str) -> Candidate:
    return Candidate(name, f"{name}:1", f"http://{name}")


def leader(database: str, *words: str) -> subprocess.Popen[str]:
    """A process of its own that leads when this returns."""
    command = [sys.executable, "-c", LEADER, database, str(TTL_S), *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "epoch 1\n"
    return child


@pytest.fixture
def shared(postgres: Any) -> str:
    return str(postgres.create())


def test_a_leader_that_is_stopped_for_longer_than_its_lease_wakes_to_nothing(shared: str) -> None:
    child = leader(shared)
    child.send_signal(signal.SIGSTOP)
    time.sleep(TTL_S)  # the lease is over then, by the clock that counts
    child.send_signal(signal.SIGCONT)
    assert child.wait(10) == -signal.SIGALRM
    assert child.stdout is not None
    assert child.stdout.read() == ""


def test_a_leader_that_is_busy_leads_on(shared: str) -> None:
    child = leader(shared, "busy")
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        ((holder, epoch),) = execute(shared, "SELECT holder, epoch FROM lease")
        assert (holder, epoch) == ("child", 1)
    finally:
        child.kill()
        child.communicate()


def test_a_leader_whose_lease_is_taken_ends_loudly(shared: str) -> None:
    child = leader(shared)
    execute(shared, "UPDATE lease SET holder = 'another', epoch = 2")
    _, complaint = child.communicate(timeout=20)
    assert child.returncode == LEAD_LOST
    assert "another controller leads" in complaint


async def test_a_planned_hand_over(shared: str) -> None:
    first, second = (LeaseKeeper(shared, candidate(name), TTL_S) for name in ("first", "second"))
    await first.start()
    await second.start()
    assert await first.win() == 1
    assert await second.try_to_win() == 0
    await first.resign()
    assert await second.win() == 2
    assert second.election.leads
    await first.close()
    await second.close()


async def test_on_a_file_who_lives_leads(tmp_path: Path) -> None:
    """No lease is waited for: the kernel tells whether the other one lives."""
    database = f"sqlite:///{tmp_path}/corridor.db"
    child = await asyncio.to_thread(leader, database)
    store = await Store.open(database)
    lease = await store.lease()
    assert lease is not None
    assert lease.remaining_s > 10 * TTL_S
    keeper = LeaseKeeper(database, candidate("second"), TTL_S)
    await keeper.start()
    assert await keeper.try_to_win() == 0
    assert keeper.election.standing().leader_grpc == "child:1"
    child.kill()
    await asyncio.to_thread(child.communicate)
    began = time.monotonic()
    assert await keeper.win() == 2
    assert time.monotonic() - began < 10 * TTL_S
    await keeper.close()
    assert await store.lease() is None
    await store.close()


async def test_a_stopped_leader_on_a_file_leads_on(tmp_path: Path) -> None:
    """As a controller alone always did: a machine that slept finds its controller as it was."""
    child = await asyncio.to_thread(leader, f"sqlite:///{tmp_path}/corridor.db")
    child.send_signal(signal.SIGSTOP)
    await asyncio.sleep(TTL_S)
    child.send_signal(signal.SIGCONT)
    await asyncio.sleep(TTL_S / 4)
    assert child.poll() is None
    child.kill()
    await asyncio.to_thread(child.communicate)


async def test_a_change_that_is_fenced_off_is_heard_of(network: SimulatedNetwork, either_database: str) -> None:
    """Not every leader hears at once that its lease is gone: the first change that is refused tells."""
    running = await Controller(network, either_database).start()
    await running.bootstrapped()
    heard: list[str] = []
    running.store.fence(running.epoch, lambda error: heard.append(error.reason))
    successor = await Store.open(either_database)
    await successor.raise_epoch()
    with pytest.raises(Conflict, match="another controller has taken over"):
        await running.service.create_corridor("tenants/default", "c1", corridor(isolation=Isolation.SOFT))
    assert set(heard) == {"FENCED"}
    await successor.close()
    running.faults.clear()
    await running.stop()
