"""Probes around real routers, and policies that a headend switches by itself, whatever its main program does.

A cut is a filter at the far node: no port of the headend goes down, so nothing but its probes can tell.
"""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from chain_entries import BLOCK, VRFS, default_carriers, locator
from finsy.proto import p4r
from flows import flow
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from p4_client import DELETE, INSERT, MODIFY, canonical_bytes, outcomes
from router_chain import inside
from waiting import wait_until

pytestmark = pytest.mark.root
OWN = f"{locator('r1')}::1"
AROUND = {link: [f"{BLOCK}:2:{0xE000 + link:x}:1::", OWN] for link in (1, 2)}
"""Out by one of the parallel links to r2, and back by the same."""
POLICY, BACKUP = 10 * VRFS["a"] + 6, 156
"""Customer a's IPv6 corridor from r1 goes by link 1; the backup goes by link 2."""
FAR = "2001:db8:3::2"
PER_SECOND = 2000
LIMIT = 0.050 * PER_SECOND
"""Packets of 50 ms."""


class News:
    """What a headend has said of its sessions and policies last."""

    def __init__(self, client, *, of_old=False):
        """`of_old`: also what it has said before, on a stream that nobody has read from."""
        self._client = client
        while not of_old and not client.stream.others.empty():
            client.stream.others.get()
        self.sessions, self.policies, self.moves, self.downs = {}, {}, [], []

    def take(self):
        while not self._client.stream.others.empty():
            said = Struct()
            assert self._client.stream.others.get().Unpack(said)
            news = MessageToDict(said)
            for item in news["sessions"]:
                self.sessions[int(item["session"])] = item["up"]
                self.downs += [int(item["session"])] * (not item["up"])
            for item in news["policies"]:
                self.policies[int(item["policy"])] = item["on_backup"]
                self.moves += [item["reason"]] * bool(item["reason"])
        return self

    def up(self, *sessions):
        return all(self.take().sessions.get(session) for session in sessions)

    def wait(self, condition, what):
        wait_until(lambda: condition(self.take()), what)


def probe(schema, session, carriers, next_hop, interval_us=10_000, detect_us=25_000):
    named = {f"carrier{n}": carrier for n, carrier in enumerate(carriers, 1)}
    times = {"interval_us": interval_us, "detect_us": detect_us}
    return schema.entry(
        "path_probe", {"session": session}, f"probe_{len(carriers)}", next_hop=next_hop, **times, **named
    )


def backed(schema, policy=POLICY, hold_off_ms=0, wait_to_restore_ms=300, revertive=1):
    times = {"hold_off_ms": hold_off_ms, "wait_to_restore_ms": wait_to_restore_ms, "revertive": revertive}
    return schema.entry(
        "policy_backup", {"policy": policy}, "set_backup", backup=BACKUP, session=1, backup_session=2, **times
    )


def listed(schema, policy, next_hop):
    (carrier,) = default_carriers("r1", "a")[6]
    return schema.entry("policy", {"policy": policy}, "encap_red_1", next_hop=next_hop, carrier1=carrier)


@pytest.fixture
def headend(unchanged):
    """r1 with an address of its own, whatever it is given during the test taken away again."""
    client = unchanged.clients["r1"]
    address = client.schema.entry("node_address", {"dst": OWN}, "to_node")
    client.write(INSERT, [address])
    before = client.read_all()
    yield unchanged.agents["r1"], client
    client = unchanged.clients["r1"]
    for table in ("policy_backup", "path_probe", "policy"):
        asked = p4r.Entity(table_entry=p4r.TableEntry(table_id=client.table_id(table)))
        added = [entity for entity in client.read(asked) if canonical_bytes(entity) not in before]
        if added:
            client.write(DELETE, added)
    client.write(DELETE, [address])


@pytest.fixture
def protected(headend):
    """Customer a's corridor with its backup, both ways watched and whole."""
    agent, client = headend
    news = News(client)
    protect(client, news)
    return agent, client, news


def protect(client, news, **times):
    schema = client.schema
    client.write(INSERT, [listed(schema, BACKUP, 2)])
    client.write(INSERT, [probe(schema, link, AROUND[link], link) for link in AROUND])
    client.write(INSERT, [backed(schema, **times)])
    news.wait(lambda n: n.up(1, 2), "both ways are whole")


@contextmanager
def cut(*links):
    """Nothing arrives at r2 by these links, nor does anybody see a port go down."""
    table = "inet cut_" + "_".join(map(str, links))
    names = ", ".join(f'"eth{link}"' for link in links)
    lines = (
        f"add table {table}",
        f"add chain {table} arrivals {{ type filter hook prerouting priority -400; policy accept; }}",
        f"add rule {table} arrivals iifname {{ {names} }} drop",
    )
    inside("r2", "nft", "; ".join(lines))
    try:
        yield
    finally:
        inside("r2", "nft", f"delete table {table}")


def customer_flow(seconds):
    return flow("h1", "h3", FAR, size=200, per_second=PER_SECOND, count=int(seconds * PER_SECOND))


def sent_by(link):
    return int(inside("r1", "cat", f"/sys/class/net/eth{link}/statistics/tx_packets").stdout)


def runs_by(link):
    """Wait until the flow takes this link, by its rate: probes alone are far slower."""
    seen = [time.monotonic(), sent_by(link)]

    def fast():
        before, packets = seen
        seen[:] = time.monotonic(), sent_by(link)
        return seen[1] - packets > 0.25 * PER_SECOND * (seen[0] - before) + 2

    wait_until(fast, f"the flow runs by link {link}")


@pytest.mark.parametrize(
    ("next_hop", "carriers"),
    [
        (2, [OWN]),
        (1, AROUND[1]),
        (2, AROUND[2]),
        (1, [f"{BLOCK}:2:3:2:e002:1::", OWN]),
        (2, [f"{BLOCK}:2:3::", f"{BLOCK}:2:e001:1::", OWN]),
    ],
    ids=["routed back", "link 1", "link 2", "over r3", "over r3, three carriers"],
)
def test_probes_go_round(headend, next_hop, carriers):
    _, client = headend
    news = News(client)
    client.write(INSERT, [probe(client.schema, 7, carriers, next_hop)])
    news.wait(lambda n: n.up(7), "the probes come back")
    with cut(1, 2):
        news.wait(lambda n: not n.up(7), "the probes are lost")
    news.wait(lambda n: n.up(7), "the probes come back again")


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
    print(f"cut: {lost_by_cut.lost / PER_SECOND * 1000:.1f} ms")
    assert 0 < lost_by_cut.lost < LIMIT


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
    assert lost.lost < LIMIT
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
    assert 0.25 * PER_SECOND < lost.lost < 0.3 * PER_SECOND + LIMIT


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
    assert lost.lost < LIMIT


def test_a_main_program_that_stands_still_does_not_matter(protected):
    agent, _, news = protected
    with customer_flow(3) as lost:
        runs_by(1)
        stopped = agent_process(agent)
        os.kill(stopped, signal.SIGSTOP)
        try:
            with cut(1):
                runs_by(2)
        finally:
            os.kill(stopped, signal.SIGCONT)
    assert 0 < lost.lost < LIMIT
    news.wait(lambda n: n.moves[:1] == ["SIGNAL_FAIL"], "it is told later")


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
    assert news.policies[POLICY]
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


def test_entries_that_are_taken_back_leave_nothing(protected):
    _, client, news = protected
    with cut(1):
        news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
        client.write(DELETE, [backed(client.schema)])
        wait_until(lambda: not switched(), "traffic is where its policy says")
    chains = inside("r1", "nft", "list", "chains").stdout
    assert f"policy_{BACKUP}" not in chains


def test_a_backup_is_not_removed_from_under_a_policy(protected):
    _, client, _ = protected
    gone = [p4r.Update(type=DELETE, entity=listed(client.schema, BACKUP, 2))]
    ((code, said),) = outcomes(client, gone)
    assert (code.name, "policy_backup" in said) == ("FAILED_PRECONDITION", True)
    more = p4r.Update(type=INSERT, entity=probe(client.schema, 9, AROUND[1], next_hop=99))
    ((code, said),) = outcomes(client, [more])
    assert (code.name, "next hop 99 is none" in said) == ("ABORTED", True)


MANY = range(1000, 1100)


def test_a_hundred_policies_over_one_cut_switch_together(protected):
    """One transaction of the kernel: whoever looks sees none of them, or all."""
    _, client, news = protected
    schema = client.schema
    client.write(INSERT, [listed(schema, number, 1) for number in MANY])
    client.write(INSERT, [backed(schema, number) for number in MANY])
    news.wait(lambda n: len(n.policies) == len(MANY) + 1, "all are known")
    with customer_flow(3) as lost:
        runs_by(1)
        with cut(1):
            seen = counts_until(len(MANY) + 1)
            runs_by(2)
    news.wait(lambda n: not any(n.policies.values()), "all are back")
    print(f"cut with {len(MANY) + 1} policies: {lost.lost / PER_SECOND * 1000:.1f} ms; seen switched: {sorted(seen)}")
    assert seen <= {0, len(MANY) + 1}
    assert lost.lost < LIMIT


def counts_until(all_of_them):
    """How many policies were seen on their backup, until all are."""
    seen = set()
    wait_until(lambda: seen.add(len(switched())) or all_of_them in seen, "all are on their backup")
    return seen


def switched():
    """Policies that are on their backup, by the kernel."""
    listing = inside("r1", "nft", "list", "map", "inet", "corridor", "switched").stdout
    return {int(found, 16) for found in re.findall(r"(0x[0-9a-f]+) : goto", listing)}


def runs_by_probes_of(link):
    before = sent_by(link)
    wait_until(lambda: sent_by(link) > before + 5, f"probes leave by link {link}")


def agent_process(agent):
    """`ip netns exec` becomes the agent."""
    return agent.process.pid


def engine_of(agent):
    """The process that the agent has started; None where there is none."""
    children = Path(f"/proc/{agent.process.pid}/task").glob("*/children")
    found = [int(pid) for file in children for pid in file.read_text().split()]
    engines = [pid for pid in found if alive(pid) and b"controller.linux.liveness" in command_of(pid)]
    return engines[0] if engines else None


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
