"""From what a device holds to what it shall hold: the ordered list of writes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

from controller.core.entries import (
    Change,
    CrossConnect,
    Entry,
    MeterEntry,
    Operation,
    ProtectionGroup,
    SliceMeter,
    SlotAssignment,
)

_TABLE_RANK: Mapping[str, int] = MappingProxyType(
    {
        "port_role": 0,
        "tunnel_source": 0,
        "edge_filter": 0,
        "gateway": 0,
        "node_address": 0,
        "next_hop": 1,
        "next_hop_group": 2,
        "host_v6": 3,
        "host_v4": 3,
        "route_v6": 3,
        "route_v4": 3,
        "local_sid": 3,
        "color_policy": 4,
        "policy": 5,
        "classifier_v6": 6,
        "classifier_v4": 6,
    }
)
_METER_RANK = 4
_RAISED_METER_RANK = 7


def rank(entry: Entry) -> int:
    """Order of creation: what is referred to stands before what refers to it; removal runs the other way."""
    match entry:
        case SlotAssignment() | ProtectionGroup():
            return 0
        case SliceMeter():
            return 1
        case CrossConnect():
            return 2
        case MeterEntry():
            return _METER_RANK
        case _:
            return _TABLE_RANK[entry.table]


def _write_rank(old: Entry | None, new: Entry) -> int:
    """A shaper falls before its traffic moves to another path and rises after: the old path has no room for more."""
    if isinstance(old, MeterEntry) and isinstance(new, MeterEntry) and new.highest_rate > old.highest_rate:
        return _RAISED_METER_RANK
    return rank(new)


def changes(actual: Mapping[Hashable, Entry], desired: Mapping[Hashable, Entry]) -> tuple[Change, ...]:
    """Additions and modifications first, in order of reference, then removals in the reverse order."""
    wanted = [
        Change(Operation.MODIFY if key in actual else Operation.INSERT, entry)
        for key, entry in desired.items()
        if actual.get(key) != entry
    ]
    unwanted = [Change(Operation.DELETE, entry) for key, entry in actual.items() if key not in desired]
    wanted.sort(key=lambda change: _write_rank(actual.get(change.entry.key), change.entry))
    unwanted.sort(key=lambda change: -rank(change.entry))
    return (*wanted, *unwanted)
