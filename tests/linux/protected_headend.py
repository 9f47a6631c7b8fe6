"""A headend whose paths are watched: its entries, its news, cuts that no port tells, and what its kernel holds.

A cut is a filter at the far node: no port of the headend goes down, so nothing but its probes can tell.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from pathlib import Path

from chain_entries import BLOCK, VRFS, default_carriers, locator
from flows import flow
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from p4_client import INSERT
from router_chain import inside, start
from waiting import wait_until

OWN = f"{locator('r1')}::1"
AROUND = {link: [f"{BLOCK}:2:{0xE000 + link:x}:1::", OWN] for link in (1, 2)}
"""Out by one of the parallel links to r2, and back by the same."""
POLICY, BACKUP = 10 * VRFS["a"] + 6, 156
"""Customer a's IPv6 corridor from r1 goes by link 1; the backup goes by link 2."""
FAR = "2001:db8:3::2"
PER_SECOND = 2000
LIMIT_S = 0.050
WAIT_TO_RESTORE_S = 0.3


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


def backed(schema, policy=POLICY, hold_off_ms=0, wait_to_restore_ms=int(1000 * WAIT_TO_RESTORE_S), revertive=1):
    times = {"hold_off_ms": hold_off_ms, "wait_to_restore_ms": wait_to_restore_ms, "revertive": revertive}
    return schema.entry(
        "policy_backup", {"policy": policy}, "set_backup", backup=BACKUP, session=1, backup_session=2, **times
    )


def listed(schema, policy, next_hop):
    (carrier,) = default_carriers("r1", "a")[6]
    return schema.entry("policy", {"policy": policy}, "encap_red_1", next_hop=next_hop, carrier1=carrier)


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


@contextmanager
def transactions(file):
    """What nft tells of r1's, as a list of texts that grows."""

    def seen():
        return file.read_text().split("# new generation")

    with file.open("w") as told:
        monitor = start("r1", "nft", "monitor", stdout=told)
        try:
            # It is there when it has told of a change that means nothing.
            wait_until(
                lambda: inside("r1", "nft", "add table ip seen; delete table ip seen") and len(seen()) > 1,
                "nft monitor tells",
            )
            yield seen
        finally:
            monitor.kill()
            monitor.wait()


def moves_in(texts, verb):
    """How many policies each transaction has moved."""
    counts = [text.count(f"{verb} element inet corridor switched") for text in texts]
    return [count for count in counts if count]


def switched():
    """Policies that are on their backup, by the kernel."""
    listing = inside("r1", "nft", "list", "map", "inet", "corridor", "switched").stdout
    return {int(found, 16) for found in re.findall(r"(0x[0-9a-f]+) : goto", listing)}


def runs_by_probes_of(link):
    before = sent_by(link)
    wait_until(lambda: sent_by(link) > before + 5, f"probes leave by link {link}")


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
