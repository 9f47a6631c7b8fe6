"""From what a device holds to what it shall hold: the ordered list of writes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

from controller.core.entries import (
    Change,
    CrossConnect,
    Entry,
    GroupEntry,
    MeterEntry,
    Operation,
    ProtectionGroup,
    SliceMeter,
    SlotAssignment,
    TableEntry,
)

_ORDER = (
    "port_role",
    "tunnel_source",
    "edge_filter",
    "gateway",
    "node_address",
    "next_hop",
    "next_hop_group",
    "host_v6",
    "host_v4",
    "route_v6",
    "route_v4",
    "local_sid",
    "icmp_limit",
    "slice_meter",
    "color_policy",
    "path_probe",
    "policy",
    "policy_backup",
    "classifier_v6",
    "classifier_v4",
)
"""Tables and meters of a packet node. No two share a place: what goes into one table goes there in one run, however
many corridors it is of, since a device is asked once for each run."""

_RANK: Mapping[str, int] = MappingProxyType({name: place for place, name in enumerate(_ORDER)})
_RAISED_METER_RANK = len(_ORDER)


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
            return _RANK[entry.meter]
        case _:
            return _RANK[entry.table]


def _write_rank(old: Entry | None, new: Entry) -> int:
    """A shaper falls before its traffic moves to another path and rises after: the old path has no room for more."""
    if isinstance(old, MeterEntry) and isinstance(new, MeterEntry) and new.highest_rate > old.highest_rate:
        return _RAISED_METER_RANK
    return rank(new)


def _place(old: Entry | None, change: Change) -> tuple[int, bool]:
    """A device is asked anew at each change of operation too; lists of an OTN node are taken apart by its driver."""
    packet = isinstance(change.entry, TableEntry | GroupEntry | MeterEntry)
    return _write_rank(old, change.entry), packet and change.operation is Operation.MODIFY


def changes(actual: Mapping[Hashable, Entry], desired: Mapping[Hashable, Entry]) -> tuple[Change, ...]:
    """Additions and modifications first, in order of reference, then removals in the reverse order."""
    wanted = [
        Change(Operation.MODIFY if key in actual else Operation.INSERT, entry)
        for key, entry in desired.items()
        if actual.get(key) != entry
    ]
    unwanted = [Change(Operation.DELETE, entry) for key, entry in actual.items() if key not in desired]
    wanted.sort(key=lambda change: _place(actual.get(change.entry.key), change))
    unwanted.sort(key=lambda change: -rank(change.entry))
    return (*wanted, *unwanted)
