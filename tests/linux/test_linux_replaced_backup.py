"""A policy is given another backup: nothing of the old one stays, and traffic that is on it goes to the new one.

The kernel is a model of what nf_tables does with chains and elements of a map: whole transactions, or nothing.
"""

from __future__ import annotations

import errno
import re
import socket
from types import SimpleNamespace

import pytest
from canned_kernel import CannedKernel, CannedPorts

from controller.core.entries import Exact, TableEntry
from controller.linux.liveness.engine import Engine
from controller.linux.liveness.messages import Watch
from controller.linux.liveness.protected_policy import Backup
from controller.linux.liveness.switch_table import Move, SwitchTable
from controller.linux.liveness.watched_path import Health, WatchedPath
from controller.linux.protection import PolicyBackups
from controller.linux.room import Step
from controller.linux.view import View

POLICY, OLD, NEW = 7, 8, 9


def entry(backup, policy=POLICY, hold_off_ms=0):
    values = {"backup": backup, "session": 1, "backup_session": 2, "hold_off_ms": hold_off_ms}
    params = (*values.items(), ("wait_to_restore_ms", 1000), ("revertive", 1))
    return TableEntry("policy_backup", (("policy", Exact(policy)),), "set_backup", params)


def transaction(lines, chains, switched):
    """Carry it out; AssertionError where the kernel refuses."""
    for line in lines:
        verb, kind, *words = line.replace("inet corridor ", "").split()
        name = words[0]
        if kind == "chain" and verb == "delete":
            assert name in chains, f"{name}: no such chain"
            assert name not in switched.values(), f"{name} is busy"
            chains.remove(name)
        elif kind == "chain":
            assert verb == "add" or name in chains, f"{name}: no such chain"
            chains.add(name)
        elif name == "switched":
            policy = int(re.search(r"{ (\w+)", line)[1], 0)
            assert (policy in switched) == (verb == "delete"), f"{policy}: {verb}"
            if verb == "delete":
                del switched[policy]
            else:
                (switched[policy],) = re.findall(r": goto (\w+) }", line)
                assert switched[policy] in chains


def replaced(old, new, switched, others=()):
    """Chains and the map behind a write that changes one entry, beside others that stand."""
    pairs = [[policy, {"goto": {"target": chain}}] for policy, chain in switched.items()]
    view = View(CannedKernel(nft_objects=[{"map": {"name": "switched", "elem": pairs}}]), CannedPorts({}))
    standing = [*others, *([] if new is None else [new])]
    work = PolicyBackups().work([Step(old.key, old, new)], {item.key: item for item in standing}, view)
    chains = {f"policy_{dict(item.params)['backup']}" for item in (old, *others)}
    transaction([line for block in work.blocks for line in block.lines], chains, switched)
    return chains, switched


def test_a_replaced_backup_leaves_no_chain():
    assert replaced(entry(OLD), entry(NEW), {}) == ({"policy_9"}, {})


def test_traffic_on_a_replaced_backup_takes_the_new_one():
    assert replaced(entry(OLD), entry(NEW), {POLICY: "policy_8"}) == ({"policy_9"}, {POLICY: "policy_9"})


@pytest.mark.parametrize("switched", [{}, {POLICY: "policy_8"}])
def test_a_changed_time_moves_nothing(switched):
    assert replaced(entry(OLD), entry(OLD, hold_off_ms=5), dict(switched)) == ({"policy_8"}, switched)


@pytest.mark.parametrize("new", [entry(NEW), None])
def test_a_chain_that_others_use_stays(new):
    other = entry(OLD, policy=6)
    chains, switched = replaced(entry(OLD), new, {6: "policy_8", POLICY: "policy_8"}, [other])
    assert chains == {"policy_8"} | ({"policy_9"} if new else set())
    assert switched == {6: "policy_8"} | ({POLICY: "policy_9"} if new else {})


@pytest.mark.parametrize("switched", [{}, {POLICY: "policy_8"}])
def test_a_removed_entry_leaves_nothing(switched):
    assert replaced(entry(OLD), None, dict(switched)) == (set(), {})


# ---- the engine


class KernelMap(SwitchTable):
    """Its elements, and what it held after each transaction."""

    def __init__(self, elements):
        self.elements, self.history = dict(elements), []
        self.chains = {OLD, NEW}

    def _transaction(self, moves):
        meant = {Move(POLICY, backup).body: backup for backup in (None, OLD, NEW)}
        elements = dict(self.elements)
        for move in moves:
            backup = meant[move.body]
            if backup is None and elements.pop(POLICY, None) is None:
                return errno.ENOENT
            if backup is not None and elements.setdefault(POLICY, backup) != backup:
                return errno.EBUSY
            if backup is not None and backup not in self.chains:
                return errno.ENOENT
        self.elements = elements
        self.history.append(elements)
        return 0


@pytest.fixture
def started():
    """An engine that has just started, on a kernel that holds these elements."""
    ours, its = socket.socketpair()
    paths = {1: WatchedPath(0.01, 0.025, Health.DOWN), 2: WatchedPath(0.01, 0.025, Health.UP)}
    acts = {name: lambda *given: None for name in ("take", "lose", "judge", "send")}

    def start(elements):
        kernel = KernelMap(elements)
        return Engine(its, SimpleNamespace(follow=lambda sessions, ports: paths, **acts), kernel), kernel

    with ours, its:
        yield start


def watch(backup, switched):
    return Watch({}, {POLICY: Backup(backup, 1, 2, 0, 1000, True)}, (), switched)


WATCH = watch(NEW, {POLICY: NEW})


@pytest.mark.parametrize("held", [{POLICY: OLD}, {POLICY: NEW}, {}])
def test_a_new_engine_makes_true_what_it_is_told(started, held):
    """The one before it died when its policy was on a backup that was replaced at that moment."""
    engine, kernel = started(held)
    engine.follow(WATCH)
    assert kernel.elements == {POLICY: NEW}


def test_traffic_on_a_backup_never_leaves_it_meanwhile(started):
    engine, kernel = started({POLICY: OLD})
    for _ in range(3):
        engine.follow(WATCH)
    assert all(elements == {POLICY: NEW} for elements in kernel.history)


def test_a_cut_before_the_engine_knows_the_new_backup_waits_for_that_alone(started):
    """The chain of the old one is gone already; its policy moves as soon as the entry is told."""
    engine, kernel = started({})
    engine.follow(watch(OLD, {}))
    kernel.chains.remove(OLD)
    engine.turn(1.0)
    assert kernel.elements == {}
    engine.follow(watch(NEW, {}))
    engine.turn(1.001)
    assert kernel.elements == {POLICY: NEW}
