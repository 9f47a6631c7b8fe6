"""Watched paths and protected policies: nft sets in which the liveness engine finds its work.

The kernel keeps an entry as the comment of a set's element, numbers in hexadecimal, and looks at neither. A policy's
backup has a chain that gives packets its mark; the engine sends a policy's packets there by an element of map
`switched`, which is its own. So an entry is read back as it was written, whatever list is taken at the moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import grpc

from controller.core.entries import Exact, TableEntry
from controller.linux.liveness.messages import Watch
from controller.linux.liveness.probing import Way
from controller.linux.liveness.protected_policy import Backup
from controller.linux.liveness.switch_table import MAP, chain
from controller.linux.marks import POLICY_LIMIT, VRF_MASK
from controller.linux.rejected import Rejected, invalid
from controller.linux.room import Block, Entries, Step, Work, exact, param
from controller.linux.view import View

WATCHED_BY = frozenset({"path_probe", "policy_backup", "next_hop", "port_role"})
"""The tables that say what the engine does."""
LEAST_INTERVAL_US, LONGEST_US = 1000, 60_000_000
LEAST_MISSES = 2
"""Intervals in a detection time: the loss of one probe is not that of a path."""
PROBES_PER_S = 20_000
"""That one engine sends at most, of all sessions that differ."""
SESSIONS = 4096
_TABLE = "inet corridor"
_PROBED = ("next_hop", "interval_us", "detect_us")
_BACKED = ("backup", "session", "backup_session", "hold_off_ms", "wait_to_restore_ms", "revertive")


class PathProbes:
    tables = frozenset({"path_probe"})

    def read(self, view: View) -> Iterator[TableEntry]:
        for number, values in _elements(view, "path_probes"):
            carriers = tuple((f"carrier{n}", carrier) for n, carrier in enumerate(values[len(_PROBED) :], 1))
            params = (*zip(_PROBED, values, strict=False), *carriers)
            yield TableEntry("path_probe", (("session", Exact(number)),), f"probe_{len(carriers)}", params)

    def check(self, entry: TableEntry, view: View) -> None:
        interval, detect = param(entry, "interval_us"), param(entry, "detect_us")
        if not LEAST_INTERVAL_US <= interval <= LONGEST_US:
            raise invalid(f"interval_us {interval} is out of {LEAST_INTERVAL_US}..{LONGEST_US}")
        if not LEAST_MISSES * interval <= detect <= LONGEST_US:
            raise invalid(f"detect_us {detect} is out of {LEAST_MISSES} intervals..{LONGEST_US}")
        if not all(value for name, value in entry.params if name.startswith("carrier")):
            raise invalid("a carrier is ::")
        others = [found for found in self.read(view) if found.key != entry.key]
        if len(others) >= SESSIONS:
            raise _full(f"this target has {SESSIONS} sessions")
        rate = sum(1e6 / dict(params)["interval_us"] for params in {found.params for found in (*others, entry)})
        if rate > PROBES_PER_S:
            raise _full(f"this target sends {PROBES_PER_S} probes a second")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        return Work(blocks=[_block(step, "path_probes", "session") for step in steps])


class PolicyBackups:
    tables = frozenset({"policy_backup"})

    def read(self, view: View) -> Iterator[TableEntry]:
        for number, values in _elements(view, "policy_backups"):
            params = tuple(zip(_BACKED, values, strict=True))
            yield TableEntry("policy_backup", (("policy", Exact(number)),), "set_backup", params)

    def check(self, entry: TableEntry, view: View) -> None:
        policy, backup = exact(entry, "policy"), param(entry, "backup")
        if not (0 < policy < POLICY_LIMIT and 0 < backup < POLICY_LIMIT):
            raise invalid(f"this target has policies 1..{POLICY_LIMIT - 1}")
        if policy == backup:
            raise invalid("a policy is no backup of itself")
        if param(entry, "session") == param(entry, "backup_session"):
            raise invalid("one session cannot tell two lists apart")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        work = Work()
        switched = dict(switched_policies(view))
        for step in steps:
            block = _block(step, "policy_backups", "policy")
            if step.new is not None:
                lines = (*_chain(param(step.new, "backup")), *block.lines)
                block = Block(block.keys, lines)
            work.blocks += (block, *_diversion(step, switched))
        work.blocks += _spare_chains(steps, after)
        return work


def watched(entries: Sequence[TableEntry], view: View) -> Watch:
    """What the engine is to do, of the standing entries of `WATCHED_BY`; a session without its next hop sends none."""
    next_hops = {exact(e, "next_hop"): e for e in entries if e.table == "next_hop" and e.action == "to_adjacency"}
    sessions = {}
    for entry in entries:
        hop = next_hops.get(param(entry, "next_hop")) if entry.table == "path_probe" else None
        if hop is not None:
            carriers = tuple(value for name, value in entry.params if name.startswith("carrier"))
            sessions[exact(entry, "session")] = Way(
                view.ports.name(param(hop, "port")),
                param(hop, "src_mac"),
                param(hop, "dst_mac"),
                param(entry, "interval_us"),
                param(entry, "detect_us"),
                carriers,
            )
    policies = {exact(e, "policy"): _backup(e) for e in entries if e.table == "policy_backup"}
    return Watch(sessions, policies, tuple(view.network_interfaces()), dict(switched_policies(view)))


def switched_policies(view: View) -> Iterator[tuple[int, int]]:
    """Policy and backup, of those that are on it."""
    for policy, verdict in view.ports_and_marks.pairs(MAP):
        assert isinstance(verdict, dict)
        yield int(str(policy)), int(verdict["goto"]["target"].removeprefix(chain(0)[:-1]))


def _backup(entry: TableEntry) -> Backup:
    backup, session, backup_session, hold_off_ms, wait_ms, revertive = (param(entry, name) for name in _BACKED)
    return Backup(backup, session, backup_session, hold_off_ms, wait_ms, bool(revertive))


def _elements(view: View, name: str) -> Iterator[tuple[int, list[int]]]:
    """Key and the numbers of the comment."""
    for element in view.ports_and_marks.sets.get(name, []):
        if isinstance(element, dict):
            found = element["elem"]
            yield int(found["val"]), [int(word, 16) for word in found["comment"].split()]


def _block(step: Step, name: str, key: str) -> Block:
    """An element with its comment; one that changes is taken out and put in at once."""
    entry = step.new or step.old
    assert entry is not None
    number, lines = exact(entry, key), []
    if step.old is not None:
        lines.append(f"delete element {_TABLE} {name} {{ {number:#x} }}")
    if step.new is not None:
        comment = " ".join(f"{value:x}" for _, value in step.new.params)
        lines.append(f'add element {_TABLE} {name} {{ {number:#x} comment "{comment}" }}')
    return Block(frozenset({step.key}), tuple(lines))


def _chain(backup: int) -> Iterator[str]:
    name = chain(backup)
    yield f"add chain {_TABLE} {name}"
    yield f"flush chain {_TABLE} {name}"
    yield f"add rule {_TABLE} {name} meta mark set meta mark & {VRF_MASK:#x} | {backup:#x}"


def _diversion(step: Step, switched: Mapping[int, int]) -> Iterator[Block]:
    """Traffic on a backup that is its policy's no more: to the new one, or to the policy's own list.

    A block of its own: the engine may have taken it back already, and does the same in any case.
    """
    if step.old is None:
        return
    policy, backup = exact(step.old, "policy"), None if step.new is None else param(step.new, "backup")
    if switched.get(policy, backup) == backup:
        return
    lines = [f"delete element {_TABLE} {MAP} {{ {policy:#x} }}"]
    if backup is not None:
        lines.append(f"add element {_TABLE} {MAP} {{ {policy:#x} : goto {chain(backup)} }}")
    yield Block(frozenset(), tuple(lines))


def _spare_chains(steps: Sequence[Step], after: Entries) -> Iterator[Block]:
    """Each by itself, where traffic may still go: the engine takes that back a moment later."""
    used = {param(entry, "backup") for entry in after.values()}
    left = {param(step.old, "backup") for step in steps if step.old is not None}
    for backup in sorted(left - used):
        name = chain(backup)
        yield Block(frozenset(), (f"flush chain {_TABLE} {name}", f"delete chain {_TABLE} {name}"))


def _full(why: str) -> Rejected:
    return Rejected(grpc.StatusCode.RESOURCE_EXHAUSTED, why)
