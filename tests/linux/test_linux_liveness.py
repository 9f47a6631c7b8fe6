"""The engine beside the target: either may stand still, die or start anew, and traffic is where it belongs."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from chain_entries import BLOCK
from p4_client import DELETE, INSERT
from protected_headend import (
    LIMIT_S,
    POLICY,
    News,
    alive,
    backed,
    customer_flow,
    cut,
    engine_of,
    listed,
    moves_in,
    protect,
    runs_by,
    runs_by_probes_of,
    switched,
    transactions,
)
from waiting import wait_until

pytestmark = pytest.mark.root


def test_a_main_program_that_stands_still_does_not_matter(protected):
    agent, _, news = protected
    with customer_flow(3) as lost:
        runs_by(1)
        stopped = agent.process.pid
        os.kill(stopped, signal.SIGSTOP)
        try:
            with cut(1):
                runs_by(2)
        finally:
            os.kill(stopped, signal.SIGCONT)
    assert 0 < lost.outage_s < LIMIT_S
    news.wait(lambda n: n.moves[:1] == ["SIGNAL_FAIL"], "it is told later")


def test_a_main_program_that_writes_hundreds_of_entries_does_not_matter(protected):
    """Kernel and processor are busy with SIDs and policies all the time from before the cut until behind it."""
    _, client, _ = protected
    schema = client.schema
    sids = [schema.entry("local_sid", {"dst": f"{BLOCK}:1:d000::{n:x}/128"}, "end") for n in range(1, 401)]
    lists = [listed(schema, number, 1) for number in range(2000, 2200)]
    busy = threading.Event()

    def write():
        while not busy.is_set():
            for kind in (INSERT, DELETE):
                for entities in (lists, sids):
                    client.write(kind, entities)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with customer_flow(3) as lost:
            runs_by(1)
            with cut(1):
                runs_by(2)
    finally:
        busy.set()
        writer.join()
    print(f"cut under load: {lost.outage_s * 1000:.1f} ms")
    assert lost.outage_s < LIMIT_S


@pytest.mark.parametrize("stop_s", [0.03, 0.2])
def test_an_engine_that_stood_still_raises_no_alarm(protected, stop_s):
    """What it did not send cannot come back, and what came back was not read: neither is a cut."""
    agent, _, news = protected
    engine = engine_of(agent)
    for _ in range(5):
        os.kill(engine, signal.SIGSTOP)
        time.sleep(stop_s)
        os.kill(engine, signal.SIGCONT)
        time.sleep(0.1)
    assert news.take().up(1, 2)
    assert (news.downs, news.moves) == ([], [])


def test_a_killed_engine_is_replaced_and_goes_on_where_it_was(headend):
    agent, client = headend
    news = News(client)
    protect(client, news, wait_to_restore_ms=600_000)
    with cut(1):
        news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
        killed = engine_of(agent)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: engine_of(agent) not in (None, killed), "there is another engine")
        news.sessions.clear()
        news.wait(lambda n: n.up(2) and n.sessions.get(1) is False, "it has judged both")
        runs_by_probes_of(2)
    assert news.take().policies[POLICY]
    assert news.moves == ["SIGNAL_FAIL"]
    assert switched() == {POLICY}


def test_a_restarted_agent_finds_what_it_left(headend, chain):
    agent, client = headend
    news = News(client)
    protect(client, news, wait_to_restore_ms=600_000)
    with cut(1):
        news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
        standing, engine = client.read_all(), engine_of(agent)
        client.close()
        agent.kill()
        wait_until(lambda: not alive(engine), "the engine ends with its agent")
        assert switched() == {POLICY}
        agent.restart()
        client = chain.connect("r1", election_id=1)
        assert client.read_all() == standing
        news = News(client, of_old=True)
        news.wait(lambda n: n.policies.get(POLICY) and n.sessions.get(1) is False, "all is told anew")
    news.wait(lambda n: n.up(1, 2), "both ways are whole")
    assert switched() == {POLICY}


MANY = range(1000, 1100)


def test_a_hundred_policies_over_one_cut_switch_together(protected, tmp_path):
    """One transaction of the kernel there, and one back."""
    _, client, news = protected
    schema = client.schema
    with transactions(tmp_path / "transactions") as seen:
        client.write(INSERT, [listed(schema, number, 1) for number in MANY])
        client.write(INSERT, [backed(schema, number) for number in MANY])
        news.wait(lambda n: len(n.policies) == len(MANY) + 1, "all are known")
        with customer_flow(3) as lost:
            runs_by(1)
            with cut(1):
                runs_by(2)
                assert len(switched()) == len(MANY) + 1
        news.wait(lambda n: not any(n.policies.values()), "all are back")
        wait_until(lambda: moves_in(seen(), "delete"), "the monitor has told all")
    print(f"cut with {len(MANY) + 1} policies: {lost.outage_s * 1000:.1f} ms")
    for verb in ("add", "delete"):
        assert moves_in(seen(), verb) == [len(MANY) + 1]
    assert lost.outage_s < LIMIT_S
