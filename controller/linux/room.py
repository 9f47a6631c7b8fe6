"""A room: one kind of thing of the contract, and how it stands in the kernel.

Inside the target a meter cell is an entry like any other: table `slice_meter`, match `index`, action `meter`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Protocol, TypeAlias

from controller.core.entries import Exact, Lpm, TableEntry
from controller.linux.kernel import Command, Json
from controller.linux.view import View

Entries: TypeAlias = Mapping[Hashable, TableEntry]


@dataclass(frozen=True, slots=True)
class Step:
    """What is to become of one key: None is absence."""

    key: Hashable
    old: TableEntry | None
    new: TableEntry | None


@dataclass(frozen=True, slots=True)
class Block:
    """nft commands that stand or fall together, for the entries with these keys."""

    keys: frozenset[Hashable]
    lines: tuple[str, ...]


@dataclass(slots=True)
class Work:
    """What a write sends to the kernel."""

    commands: list[Command] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


class Room(Protocol):
    @property
    def tables(self) -> frozenset[str]:
        """Names of the tables (or meters) whose entries live here."""
        ...

    def read(self, view: View) -> Iterable[TableEntry]:
        """The entries that stand whole in the kernel; what lacks a part is not there."""
        ...

    def check(self, entry: TableEntry, view: View) -> None:
        """Raise `Rejected` for an entry that this target cannot realise."""
        ...

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        """How to make the steps; `after` are all entries of the room as they will then be."""
        ...


def exact(entry: TableEntry, name: str) -> int:
    value = dict(entry.match)[name]
    assert isinstance(value, Exact)
    return value.value


def param(entry: TableEntry, name: str) -> int:
    return dict(entry.params)[name]


def prefix(entry: TableEntry, name: str, bits: int) -> str:
    """An LPM field as text; a field that is left out matches all."""
    value = dict(entry.match).get(name, Lpm(0, 0))
    assert isinstance(value, Lpm)
    return f"{address(value.value, bits)}/{value.prefix_len}"


def address(value: int, bits: int) -> str:
    return str(IPv6Address(value) if bits == 128 else IPv4Address(value))


def lpm(text: str) -> tuple[int, int]:
    """Value and length of a prefix as `ip` prints it."""
    if text == "default":
        return 0, 0
    network = ip_network(text)
    return int(network.network_address), network.prefixlen


def lpm_match(text: str, **exacts: int) -> tuple[tuple[str, Exact | Lpm], ...]:
    """A match on `dst` and exact fields, sorted by name; an empty prefix is left out."""
    value, length = lpm(text)
    match: dict[str, Exact | Lpm] = {name: Exact(number) for name, number in exacts.items()}
    if length:
        match["dst"] = Lpm(value, length)
    return tuple(sorted(match.items()))


def nft_prefix(element: Json | str | int) -> str:
    """An address or prefix of nft's JSON as text."""
    if isinstance(element, dict):
        return f"{element['prefix']['addr']}/{element['prefix']['len']}"
    return str(element)
