"""The pipeline as a whole: reads all rooms, plans a write against what the kernel holds, carries it out.

A write costs a constant number of exchanges, in this order: additions (next hops before what uses them), the nft
transaction (which switches traffic over), removals (in the reverse order).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import grpc

from controller.core.entries import Operation, TableEntry
from controller.linux import preparation
from controller.linux.classifier import Classifiers
from controller.linux.edge_filter import EdgeFilter
from controller.linux.groups import RANK as GROUP_RANK
from controller.linux.groups import NextHopGroups
from controller.linux.interfaces import Ports
from controller.linux.kernel import Command, Failure, Kernel, KernelError, Tool
from controller.linux.liveness.messages import Watch
from controller.linux.next_hops import Hosts, NextHops
from controller.linux.node_addresses import NodeAddresses
from controller.linux.policies import Policies, TunnelSource
from controller.linux.port_roles import PortRoles
from controller.linux.protection import PathProbes, PolicyBackups, watched
from controller.linux.references import Dangling, dangling, referring_tables
from controller.linux.rejected import Rejected
from controller.linux.room import Block, Room, Step, Work, exact
from controller.linux.routes import Routes
from controller.linux.shaper import SliceMeters
from controller.linux.sids import LocalSids
from controller.linux.view import View

REACHED_BY = frozenset({"node_address", "port_role"})
"""The tables that say what reaches the node itself."""


@dataclass(frozen=True, slots=True)
class Update:
    """One update of a write. In a default action or meter cell, MODIFY sets and DELETE resets."""

    operation: Operation
    entry: TableEntry


@dataclass(slots=True)
class _Plan:
    """The entries of the rooms concerned before and after, and what was refused."""

    before: dict[Hashable, TableEntry]
    after: dict[Hashable, TableEntry]
    rejected: dict[int, Rejected] = field(default_factory=dict)
    last: dict[Hashable, int] = field(default_factory=dict)
    """The update that decided what becomes of a key."""

    def undo(self, key: Hashable, why: Rejected) -> None:
        self.rejected[self.last[key]] = why
        self.after.pop(key, None)
        if key in self.before:
            self.after[key] = self.before[key]


class Standing:
    """What the kernel holds; parts of one reading share their dumps."""

    def __init__(self, rooms: Sequence[Room], view: View) -> None:
        self._rooms = rooms
        self._view = view

    def entries(self, wanted: Callable[[str], bool]) -> list[TableEntry]:
        """The entries of the tables (and meters) that are wanted, by name."""
        rooms = [room for room in self._rooms if any(wanted(table) for table in room.tables)]
        return [entry for room in rooms for entry in room.read(self._view) if wanted(entry.table)]

    def counters(self, kind: str) -> dict[int, tuple[int, int]]:
        """Corridor → packets and bytes, of the cells that are in use; the kind is `corridor` or `oversize`."""
        start = f"{kind}_"
        counters = self._view.nft.counters.items()
        return {int(name.removeprefix(start)): value for name, value in counters if name.startswith(start)}


class Forwarding:
    """Blocking, and not for concurrent use."""

    def __init__(self, kernel: Kernel, ports: Ports) -> None:
        self._kernel = kernel
        self._ports = ports
        self._rooms: tuple[Room, ...] = (
            PortRoles(),
            NextHops(),
            NextHopGroups(),
            Hosts(),
            Routes(),
            LocalSids(),
            NodeAddresses(),
            Policies(),
            TunnelSource(),
            PathProbes(),
            PolicyBackups(),
            SliceMeters(),
            EdgeFilter(),
            Classifiers(),
        )

    def prepare(self) -> None:
        """Raises `KernelError` where the namespace cannot be a router."""
        preparation.prepare(self._kernel, self._ports)

    def restore_tables(self) -> None:
        """Put back what entries are written into; without effect where all is there."""
        preparation.prepare_tables(self._kernel, self._ports)

    def standing(self) -> Standing:
        """What the kernel holds from now on, for one reading."""
        return Standing(self._rooms, View(self._kernel, self._ports))

    def reached(self) -> tuple[frozenset[int], frozenset[int]]:
        """Addresses of the node itself, and the network ports, by which alone they are reached."""
        found = self.standing().entries(REACHED_BY.__contains__)
        addresses = frozenset(exact(entry, "dst") for entry in found if entry.table == "node_address")
        return addresses, frozenset(exact(entry, "port") for entry in found if entry.action == "network")

    def watched(self) -> Watch:
        """What the liveness engine is to do. Next hops, which cost processes to read, are for sessions alone."""
        view = View(self._kernel, self._ports)
        standing = Standing(self._rooms, view)
        protection = standing.entries(frozenset({"path_probe", "policy_backup"}).__contains__)
        if any(entry.table == "path_probe" for entry in protection):
            protection += standing.entries("next_hop".__eq__)
        return watched(protection, view)

    def write(self, updates: Sequence[Update]) -> dict[int, Rejected]:
        """Carry out what can be; returns what was refused, by position."""
        view = View(self._kernel, self._ports)
        tables = referring_tables(update.entry for update in updates)
        rooms = [room for room in self._rooms if room.tables & tables]
        before = {entry.key: entry for room in rooms for entry in room.read(view)}
        plan = self._plan(updates, before, view)
        for failure in self._carry_out(plan, rooms, view):
            self._blame(plan, failure)
        return plan.rejected

    # ---- planning

    def _plan(self, updates: Sequence[Update], before: dict[Hashable, TableEntry], view: View) -> _Plan:
        plan = _Plan(before, dict(before))
        for position, update in enumerate(updates):
            try:
                self._admit(update, plan.after, view)
            except Rejected as rejected:
                plan.rejected[position] = rejected
                continue
            plan.last[update.entry.key] = position
            if update.operation is Operation.DELETE:
                plan.after.pop(update.entry.key, None)
            else:
                plan.after[update.entry.key] = update.entry
        self._settle(plan)
        return plan

    def _admit(self, update: Update, standing: dict[Hashable, TableEntry], view: View) -> None:
        entry, exists = update.entry, update.entry.key in standing
        if update.operation is not Operation.DELETE:
            next(room for room in self._rooms if entry.table in room.tables).check(entry, view)
        if not entry.match or entry.table == "slice_meter":
            return
        if update.operation is Operation.INSERT and exists:
            raise Rejected(grpc.StatusCode.ALREADY_EXISTS, f"{entry.table} has this entry already")
        if update.operation is not Operation.INSERT and not exists:
            raise Rejected(grpc.StatusCode.NOT_FOUND, f"{entry.table} has no such entry")

    def _settle(self, plan: _Plan) -> None:
        """Undo what would leave a reference to nothing, until nothing dangles; each round undoes at least one."""
        while True:
            found: list[Dangling] = dangling(plan.before, plan.after, plan.last)
            if not found:
                return
            for item in found:
                plan.undo(item.key, item.why)

    # ---- carrying out

    def _carry_out(self, plan: _Plan, rooms: Sequence[Room], view: View) -> list[tuple[Hashable, str]]:
        work = Work()
        for room in rooms:
            steps = list(_steps(plan, room))
            if steps:
                after = {key: entry for key, entry in plan.after.items() if entry.table in room.tables}
                part = room.work(steps, after, view)
                work.commands += part.commands
                work.blocks += part.blocks
        failures = self._run(_additions(work.commands))
        failed = self._transaction(work.blocks)
        failures += self._run(_removals(work.commands))
        return [(failure.command.key, failure.message) for failure in failures] + failed

    def _run(self, batches: Iterable[list[Command]]) -> list[Failure]:
        return [failure for batch in batches if batch for failure in self._kernel.run(batch[0].tool, batch)]

    def _transaction(self, blocks: Sequence[Block]) -> list[tuple[Hashable, str]]:
        """All blocks at once; where the kernel refuses that, each alone, so that one cannot stop the others."""
        try:
            self._kernel.nft([line for block in blocks for line in block.lines])
        except KernelError:
            # A `flush ruleset` by hand takes the base chains along.
            preparation.prepare_tables(self._kernel, self._ports)
            return [failure for block in blocks for failure in self._alone(block)]
        return []

    def _alone(self, block: Block) -> list[tuple[Hashable, str]]:
        try:
            self._kernel.nft(block.lines)
        except KernelError as error:
            return [(key, str(error)) for key in block.keys]
        return []

    def _blame(self, plan: _Plan, failure: tuple[Hashable, str]) -> None:
        key, message = failure
        if key in plan.last:
            plan.rejected.setdefault(plan.last[key], Rejected(_code(message), message))


def _additions(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """Batches by tool, in order of rank."""
    wanted = sorted((command for command in commands if not command.removes), key=lambda command: command.rank)
    for stage in _stages(wanted):
        for tool in (Tool.IP6, Tool.IP, Tool.IP4, Tool.TC):
            yield [command for command in stage if command.tool is tool]


def _removals(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """The other way round."""
    wanted = sorted((command for command in commands if command.removes), key=lambda command: -command.rank)
    for stage in reversed(_stages(wanted)):
        for tool in (Tool.TC, Tool.IP4, Tool.IP, Tool.IP6):
            yield [command for command in stage if command.tool is tool]


def _stages(commands: list[Command]) -> tuple[list[Command], ...]:
    """Groups, which have a tool of their own, come after their next hops and before the routes of all families."""
    if all(command.tool is not Tool.IP for command in commands):
        return (commands,)
    early = [command for command in commands if command.rank <= GROUP_RANK]
    return early, [command for command in commands if command.rank > GROUP_RANK]


def _steps(plan: _Plan, room: Room) -> Iterator[Step]:
    for key in plan.last:
        old, new = plan.before.get(key), plan.after.get(key)
        entry = new or old
        if entry is not None and entry.table in room.tables and old != new:
            yield Step(key, old, new)


def _code(message: str) -> grpc.StatusCode:
    if "File exists" in message:
        return grpc.StatusCode.ALREADY_EXISTS
    if any(said in message for said in ("is down", "is not up", "Network is down", "Cannot find device")):
        return grpc.StatusCode.UNAVAILABLE
    if "Nexthop id does not exist" in message or "Invalid nexthop id" in message:
        return grpc.StatusCode.ABORTED
    if "not supported" in message or "Unsupported" in message:
        # An older kernel, or one that was built without.
        return grpc.StatusCode.UNIMPLEMENTED
    return grpc.StatusCode.INTERNAL
