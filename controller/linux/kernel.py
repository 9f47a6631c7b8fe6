"""The exchanges with the kernel of this namespace: `ip -batch`, `tc -batch`, nftables, and dumps as JSON.

A batch is one process however many lines it has; `-force` lets it go on after an error, whose line is named.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from controller.linux import traffic_control
from controller.linux.marks import PROTOCOL
from controller.linux.nftables import Nftables
from controller.linux.traffic_control import HtbClass

Json: TypeAlias = dict[str, Any]
GONE = ("No such process", "No such file", "Cannot find device", "not exist", "doesn't exist")
"""What the kernel says of a removal that has happened already."""
STANDS = ("File exists",)
_FAILED = re.compile(r"Command failed -:(\d+)$")


class Tool(StrEnum):
    """What takes a batch. The address families are apart because `ip` has one per process; nexthop groups have none."""

    IP6 = "ip -6"
    IP4 = "ip -4"
    IP = "ip"
    TC = "tc"


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a batch, for the entry with the key."""

    tool: Tool
    line: str
    key: Hashable = None
    rank: int = 0
    """Order among the additions of a write, ascending; removals go in descending order."""
    removes: bool = False
    tolerates: tuple[str, ...] = ()
    """Kernel messages that mean that it is as wanted already."""


@dataclass(frozen=True, slots=True)
class Failure:
    command: Command
    message: str


class KernelError(Exception):
    """A dump or a transaction that the kernel refused as a whole; the message is its own."""


@dataclass(frozen=True, slots=True)
class FamilyDump:
    """Own objects of one address family, as `ip -j` prints them."""

    routes: tuple[Json, ...]
    next_hops: tuple[Json, ...]
    neighbours: tuple[Json, ...]
    rules: frozenset[tuple[int, int, int, int]]
    """Preference, mark, mask, table (0: an action instead)."""
    tunnel_source: str


class Kernel:
    """Blocking: call it from a worker thread, one call at a time."""

    def __init__(self) -> None:
        self._nftables = Nftables()

    def run(self, tool: Tool, commands: Sequence[Command]) -> list[Failure]:
        """One batch; returns what failed and is not tolerated."""
        if not commands:
            return []
        done = subprocess.run(
            [*tool.split(), "-force", "-batch", "-"],
            input="".join(f"{command.line}\n" for command in commands),
            capture_output=True,
            text=True,
            check=False,
        )
        failures = []
        for line, message in failed_lines(done.stderr):
            command = commands[line - 1]
            if not any(expected in message for expected in command.tolerates):
                failures.append(Failure(command, message))
        if done.returncode and not done.stderr:
            raise KernelError(f"{tool} -batch ended with {done.returncode}")
        return failures

    def dump(self, tool: Tool) -> FamilyDump:
        queries = ["route show table all", "nexthop show", "neigh show nud permanent", "rule show", "sr tunsrc show"]
        done = subprocess.run(
            [*tool.split(), "-j", "-batch", "-"], input="\n".join(queries), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise KernelError(f"{tool} dump: {done.stderr.strip()}")
        routes, next_hops, neighbours, rules, source = documents(done.stdout)
        return FamilyDump(
            routes=_ours(routes),
            next_hops=_ours(next_hops),
            neighbours=_ours(neighbours),
            rules=frozenset(_rule(rule) for rule in _ours(rules)),
            tunnel_source=source[0]["tunsrc"],
        )

    def dump_groups(self) -> tuple[Json, ...]:
        """Own nexthop groups, as `ip -j` prints them: id, and members with a weight where it is not 1."""
        done = subprocess.run(["ip", "-j", "nexthop", "show", "groups"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise KernelError(f"nexthop groups: {done.stderr.strip()}")
        return _ours(json.loads(done.stdout or "[]"))

    def nft(self, lines: Sequence[str]) -> None:
        """One transaction: all of it or nothing; raises `KernelError`."""
        if lines:
            self._nft("\n".join(lines))

    def dump_nft(self, what: str = "table inet corridor") -> list[Json]:
        """The objects of our table, or one set or map of it; empty where it is not there."""
        try:
            listing = self._nft(f"list {what}")
        except KernelError as error:
            if "No such file" in str(error):
                return []
            raise
        objects: list[Json] = json.loads(listing)["nftables"]
        return objects

    def _nft(self, text: str) -> str:
        ok, output = self._nftables.run(text)
        if not ok:
            raise KernelError(output.strip())
        return output

    def dump_classes(self, interfaces: Iterable[str]) -> dict[str, dict[int, HtbClass] | None]:
        """Interface → class minor → class; None where there is no HTB of ours, no key where no interface."""
        return traffic_control.dump(interfaces)


def failed_lines(stderr: str) -> list[tuple[int, str]]:
    """Line numbers, from 1, and messages of the commands that a batch reports as failed."""
    failures: list[tuple[int, str]] = []
    said: list[str] = []
    for text in stderr.splitlines():
        found = _FAILED.search(text)
        if found is None:
            said.append(text.strip())
            continue
        failures.append((int(found.group(1)), " ".join(said) or "failed"))
        said = []
    return failures


def documents(text: str) -> list[list[Json]]:
    """The JSON arrays that a batch of queries prints one after the other."""
    decoder, position, found = json.JSONDecoder(object_pairs_hook=_object), 0, []
    text = text.strip()
    while position < len(text):
        document, position = decoder.raw_decode(text, position)
        found.append(document)
        while position < len(text) and text[position].isspace():
            position += 1
    return found


def _object(pairs: list[tuple[str, Any]]) -> Json:
    """`ip` prints `table` twice for End.DT6: first the one that it looks up, then the route's own."""
    found: Json = {}
    for name, value in pairs:
        if name in found:
            found[f"inner_{name}"] = found[name]
        found[name] = value
    return found


def _ours(objects: Iterable[Json]) -> tuple[Json, ...]:
    return tuple(item for item in objects if item.get("protocol") == PROTOCOL)


def _rule(rule: Json) -> tuple[int, int, int, int]:
    mark, mask = (int(str(rule.get(name, default)), 0) for name, default in (("fwmark", 0), ("fwmask", 0xFFFFFFFF)))
    table = str(rule.get("table", "0"))
    return rule["priority"], mark, mask, int(table) if table.isdigit() else 0
