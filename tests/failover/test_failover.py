"""One of two controllers goes, in each way there is: the other leads within 5 s, and traffic does not notice."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from takeover import NAME, START_S, Pair, body, harm, reads, settles, traffic

from topologies.lab import Lab
from topologies.system import Controller, wait_for

GOAL_S = 5.0
LEAD_LOST = 75


@pytest.fixture(autouse=True)
def kept(pair: Pair) -> Iterator[None]:
    """A corridor at its lower profile; both controllers run again afterwards, one leading."""
    leader, _ = pair.roles()
    leader.create("kept", body())
    yield
    for path in pair.paths:
        path.mend()
    leader, _ = pair.roles()
    leader.await_topology()
    leader.delete("kept")


def told(what: str, **seconds: float) -> None:
    print(f"\n{what}: " + ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()))


def back(controller: Controller, leader: Controller) -> None:
    """Started again, it stands by."""
    controller.start()
    wait_for("it reads again", lambda: reads(controller), START_S)
    standing = controller.standing()
    assert (standing["role"], standing["leaderGrpc"]) == ("FOLLOWER", leader.grpc_address)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_the_other_one_leads(lab: Lab, pair: Pair, how: signal.Signals) -> None:
    leader, follower = pair.roles()
    before = follower.standing()["epoch"]
    with traffic(lab) as results:
        began = time.monotonic()
        leader.send(how)
        wait_for("the other leads", lambda: follower.standing()["role"] == "LEADER", 30)
        leads = time.monotonic() - began
        acknowledged, settled = settles(follower, "training", began)
        told(how.name, leads=leads, acknowledged=acknowledged, settled=settled)
        leader.stop(signal.SIGKILL)
        back(leader, follower)
        follower.await_topology()
    assert harm(results) == [(0, 0, 0)] * 2
    assert follower.standing()["epoch"] == before + 1
    assert settled < GOAL_S


def test_a_leader_that_was_paused_writes_nothing_more(lab: Lab, pair: Pair) -> None:
    leader, follower = pair.roles()
    with traffic(lab) as results:
        began = time.monotonic()
        leader.send(signal.SIGSTOP)
        acknowledged, settled = settles(follower, "training", began)
        told("paused", acknowledged=acknowledged, settled=settled)
        epochs = pair.cluster.sql("SELECT epoch FROM head", pair.url.rpartition("/")[2])
        leader.send(signal.SIGCONT)
        status = wait_for("it ends", leader.ended, 10)
        assert status in (-signal.SIGALRM, LEAD_LOST)
        assert follower.settled("kept")["activeProfile"] == "training"
        assert pair.cluster.sql("SELECT epoch FROM head", pair.url.rpartition("/")[2]) == epochs
        assert follower.leads()
    assert harm(results) == [(0, 0, 0)] * 2
    assert settled < GOAL_S


def test_a_leader_that_is_cut_off_from_the_database_ends_before_the_other_leads(lab: Lab, pair: Pair) -> None:
    leader, follower = pair.roles()
    with traffic(lab) as results:
        began = time.monotonic()
        pair.path(leader).cut()
        while follower.standing()["role"] != "LEADER":
            ended = leader.ended()
            time.sleep(0.01)
        assert ended in (-signal.SIGALRM, LEAD_LOST), "both led"
        acknowledged, settled = settles(follower, "training", began)
        told("cut off", acknowledged=acknowledged, settled=settled)
    assert harm(results) == [(0, 0, 0)] * 2
    assert settled < GOAL_S


def test_a_follower_refuses_with_the_leaders_address(pair: Pair) -> None:
    leader, follower = pair.roles()
    asked = {"activeProfile": "training"}
    answer = follower.client.patch(NAME, json=asked)
    assert answer.status_code == httpx.codes.TEMPORARY_REDIRECT
    assert answer.headers["location"] == f"{str(leader.client.base_url).rstrip('/')}{NAME}"
    assert answer.json()["reason"] == "NOT_LEADER"
    followed = follower.client.patch(NAME, json=asked, follow_redirects=True)
    assert (followed.status_code, followed.json()["activeProfile"]) == (httpx.codes.OK, "training")
    wait_for("it hears of the change", lambda: follower.get("kept")["activeProfile"] == "training", 5)
    leader.settled("kept")
    wait_for("and of its end", lambda: stored(follower) == stored(leader), 5)


def stored(controller: Controller) -> dict[str, Any]:
    """All but the verdict on what was measured last, which only the leader hears."""
    return {name: value for name, value in controller.get("kept").items() if name != "slo"}
