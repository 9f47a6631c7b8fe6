"""Policies that a headend switches by itself, measured in packets of a customer's flow."""

from __future__ import annotations

import time

import pytest
from p4_client import MODIFY
from protected_headend import (
    LIMIT_S,
    POLICY,
    WAIT_TO_RESTORE_S,
    News,
    backed,
    customer_flow,
    cut,
    listed,
    protect,
    runs_by,
)
from router_chain import inside
from test_linux_groups import restore
from waiting import wait_until

pytestmark = pytest.mark.root


def test_a_cut_costs_less_than_50_ms_and_the_way_back_nothing(protected):
    _, client, news = protected
    standing = client.read_all()
    with customer_flow(3) as lost_by_cut:
        runs_by(1)
        with cut(1):
            runs_by(2)
            news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
            assert client.read_all() == standing, "what the controller wrote is what it reads"
        runs_by(1)
    news.wait(lambda n: not n.policies[POLICY], "traffic has its own list again")
    assert news.moves == ["SIGNAL_FAIL", "REVERTED"]
    print(f"cut: {lost_by_cut.outage_s * 1000:.1f} ms")
    assert 0 < lost_by_cut.outage_s < LIMIT_S
    assert lost_by_cut.gaps == 1


def test_a_write_on_the_backup_moves_nothing(protected):
    """The controller writes both entries anew, and the list of the policy, while traffic is on the other one."""
    _, client, news = protected
    with customer_flow(3) as lost:
        runs_by(1)
        with cut(1):
            news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
            runs_by(2)
            client.write(MODIFY, [backed(client.schema, hold_off_ms=100), listed(client.schema, POLICY, 1)])
            client.write(MODIFY, [backed(client.schema)])
            runs_by(2)
    assert lost.outage_s < LIMIT_S
    news.wait(lambda n: not n.policies[POLICY], "traffic has its own list again")
    assert news.moves == ["SIGNAL_FAIL", "REVERTED"]


def test_hold_off_holds_off(headend):
    """As long as it says, traffic is lost; and a shorter cut moves nothing."""
    _, client = headend
    news = News(client)
    protect(client, news, hold_off_ms=300)
    with cut(1):
        news.wait(lambda n: not n.sessions[1], "the cut is known")
    news.wait(lambda n: n.up(1), "the way is whole again")
    assert not news.moves
    with customer_flow(3) as lost:
        runs_by(1)
        with cut(1):
            news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
            runs_by(2)
    assert 0.25 < lost.outage_s < 0.3 + LIMIT_S


def test_without_a_whole_backup_traffic_stays(protected):
    _, _, news = protected
    with cut(2):
        news.wait(lambda n: not n.sessions[2], "the backup is lost")
        with cut(1):
            news.wait(lambda n: not n.sessions[1], "both are lost")
            assert not news.policies[POLICY]
        news.wait(lambda n: n.sessions[1], "its own way is back")
    assert not news.moves


def test_a_lost_backup_gives_traffic_back_at_once(headend):
    """Not revertive, and no time to wait for: only the loss of the backup moves it."""
    _, client = headend
    news = News(client)
    protect(client, news, revertive=0, wait_to_restore_ms=600_000)
    with cut(1):
        news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
    news.wait(lambda n: n.up(1), "its own way is back")
    with customer_flow(3) as lost:
        runs_by(2)
        with cut(2):
            news.wait(lambda n: not n.policies[POLICY], "traffic has its own list again")
            runs_by(1)
    assert news.moves == ["SIGNAL_FAIL", "BACKUP_LOST"]
    assert lost.outage_s < LIMIT_S


def test_a_dead_port_is_taken_again_when_its_next_hop_stands(protected, chain):
    """The kernel drops next hops with the carrier: probes would come back long before traffic could."""
    _, _, news = protected
    whole = {router: chain.clients[router].read_all() for router in ("r1", "r2")}
    with customer_flow(6) as lost:
        runs_by(1)
        inside("r2", "ip", "link", "set", "eth1", "down")
        try:
            runs_by(2)
        finally:
            inside("r2", "ip", "link", "set", "eth1", "up")
        wait_until(lambda: "LOWER_UP" in inside("r1", "ip", "link", "show", "eth1").stdout, "the carrier is back")
        restore(chain, {"r2": whole["r2"]})
        time.sleep(4 * WAIT_TO_RESTORE_S)
        runs_by(2)
        assert news.take().moves == ["SIGNAL_FAIL"]
        restore(chain, {"r1": whole["r1"]})
        runs_by(1)
    news.wait(lambda n: n.moves == ["SIGNAL_FAIL", "REVERTED"], "traffic has its own list again")
    print(f"dead port: {lost.outage_s * 1000:.1f} ms")
    assert lost.outage_s < LIMIT_S
