"""A node's entries, looked up as P4Runtime defines it: exact, longest prefix, ternary by priority, sets of members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.core.entries import Entry, Exact, GroupEntry, Lpm, MatchValue, TableEntry, Ternary

WIDTH = {"edge_filter": 128, "local_sid": 128, "route_v6": 128, "route_v4": 32}


@dataclass(frozen=True)
class Found:
    """The action of an entry."""

    action: str
    params: Mapping[str, int]

    def __getitem__(self, name: str) -> int:
        return self.params[name]


class Tables:
    def __init__(self, entries: Iterable[Entry]) -> None:
        self._rows: dict[str, list[TableEntry]] = {}
        self._groups: dict[tuple[str, int], GroupEntry] = {}
        for each in entries:
            if isinstance(each, TableEntry):
                self._rows.setdefault(each.table, []).append(each)
            elif isinstance(each, GroupEntry):
                ((_, key),) = each.match
                assert isinstance(key, Exact)
                self._groups[each.table, key.value] = each

    def find(self, table: str, **fields: int) -> Found | None:
        """The entry that wins for these field values; two that could both win are a fault of the caller's entries."""
        hits = [row for row in self._rows.get(table, ()) if _covers(row, fields, WIDTH.get(table, 0))]
        if not hits:
            return None
        best = max(map(_rank, hits))
        (winner,) = [row for row in hits if _rank(row) == best]
        return Found(winner.action, dict(winner.params))

    def members(self, table: str, group: int, ports_up: Iterable[int] | None = None) -> list[Found]:
        """The members of a group that may be chosen: those whose watched port is up (`None`: all are)."""
        found = self._groups.get((table, group))
        up = None if ports_up is None else set(ports_up)
        return [
            Found(each.action, dict(each.params))
            for each in (found.members if found else ())
            if up is None or not each.watch_port or each.watch_port in up
        ]


def _rank(row: TableEntry) -> tuple[int, int]:
    return row.priority, sum(value.prefix_len for _, value in row.match if isinstance(value, Lpm))


def _covers(row: TableEntry, fields: Mapping[str, int], width: int) -> bool:
    assert {name for name, _ in row.match} <= fields.keys(), f"{row.table} has no such field"
    return all(_holds(value, fields[name], width) for name, value in row.match)


def _holds(match: MatchValue, number: int, width: int) -> bool:
    match match:
        case Exact(value):
            return value == number
        case Lpm(value, length):
            return (value ^ number) >> (width - length) == 0
        case Ternary(value, mask):
            return (value ^ number) & mask == 0
