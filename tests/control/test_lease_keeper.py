"""What keeps a process from writing without a lease: a thread that renews, the kernel's timer, a file's lock."""

from __future__ import annotations

import asyncio
import os
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

from controller import lease_keeper
from controller.core.errors import Conflict, Invalid
from controller.core.model import Isolation
from controller.leadership import Candidate
from controller.lease_keeper import LEAD_LOST, LeaseKeeper
from controller.store import Store

TTL_S = 2.0
LEADER = """
import asyncio, os, signal, sys, time
from controller import lease_keeper
from controller.leadership import Candidate
from controller.lease_keeper import LeaseKeeper

if "short" in sys.argv:
    lease_keeper.BEAT_S, lease_keeper.STUCK_S = 0.1, 2.0

async def lead():
    keeper = LeaseKeeper(sys.argv[1], Candidate("child", "child:1", "http://child"), float(sys.argv[2]))
    await keeper.start()
    print("epoch", await keeper.win(), flush=True)
    while True:
        if "busy" in sys.argv:
            time.sleep(2 * float(sys.argv[2]))  # as a long plan does: the loop stands still
            print("done", flush=True)
        if "stopped" in sys.argv:
            sys.argv.remove("stopped")
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.5)  # the thread that keeps the lease is the first to look
            print("awake", flush=True)
        if "stuck" in sys.argv:
            time.sleep(60)
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


@pytest.fixture(autouse=True)
def armed(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a keeper in this process says to the kernel's timer, which the time limit of a test needs for itself."""
    told: list[float] = []
    monkeypatch.setattr(lease_keeper, "die_after", told.append)
    return told


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


def test_a_leader_whose_lease_is_past_understanding_ends_loudly(shared: str) -> None:
    """No outage, and nothing that time heals."""
    child = leader(shared)
    execute(shared, "DROP TABLE lease")
    _, complaint = child.communicate(timeout=20)
    assert child.returncode == LEAD_LOST
    assert "the lease cannot be renewed" in complaint
    assert 'relation "lease" does not exist' in complaint


async def test_a_planned_hand_over(shared: str, armed: list[float]) -> None:
    first, second = (LeaseKeeper(shared, candidate(name), TTL_S) for name in ("first", "second"))
    await first.start()
    await second.start()
    assert await first.win() == 1
    assert await second.try_to_win() == 0
    assert armed
    assert all(0 < seconds < TTL_S for seconds in armed)
    await first.resign()
    assert armed[-1] == 0, "who resigned lives on"
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


async def test_a_file_has_one_lock_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "corridor.db")
    first, second = (
        LeaseKeeper(f"sqlite:///{tmp_path}/{name}.db", candidate(name), TTL_S) for name in ("corridor", "link")
    )
    await first.start()
    await second.start()
    assert await first.try_to_win() == 1
    assert await second.try_to_win() == 0
    await first.close()
    await second.close()


@pytest.mark.parametrize(
    "place", ["", "/:memory:", "/file::memory:?uri=true", "/file:corridor?mode=memory&cache=shared&uri=true"]
)
def test_no_controller_on_a_database_in_memory(place: str) -> None:
    """The keeper's connection would see another one."""
    with pytest.raises(Invalid, match="in memory"):
        LeaseKeeper(f"sqlite://{place}", candidate("first"), TTL_S)


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


def test_a_loop_was_not_stuck_while_all_of_its_process_was_stopped(tmp_path: Path) -> None:
    child = leader(f"sqlite:///{tmp_path}/corridor.db", "short", "stopped")
    try:
        assert os.waitid(os.P_PID, child.pid, os.WSTOPPED) is not None
        time.sleep(2.5)  # longer than a loop may be stuck for
        child.send_signal(signal.SIGCONT)
        assert child.stdout is not None
        assert child.stdout.readline() == "awake\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
    finally:
        child.kill()
        child.communicate()


def test_a_leader_whose_loop_is_stuck_ends_loudly(tmp_path: Path) -> None:
    child = leader(f"sqlite:///{tmp_path}/corridor.db", "short", "stuck")
    _, complaint = child.communicate(timeout=20)
    assert child.returncode == LEAD_LOST
    assert "the event loop has done nothing for 2 s" in complaint


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
