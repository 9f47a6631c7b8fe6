"""What devices shall hold: parts of many owners, merged, and kept in step change by change."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from types import MappingProxyType

from controller.core.entries import Entry
from controller.core.render import Desired, merged
from controller.group_commit import Touched

INFRASTRUCTURE = ""
"""The owner of what stands whether or not there is a corridor; it comes first where several say something."""


class DesiredEntries:
    """A change costs what it alters, not what devices hold."""

    def __init__(self) -> None:
        self._parts: dict[str, Desired] = {}
        self._owners: dict[str, dict[Hashable, set[str]]] = {}
        """By device and key."""
        self._whole: dict[str, dict[Hashable, Entry]] = {}

    def of(self, device: str) -> Mapping[Hashable, Entry]:
        """All of one device, as it is until the next change."""
        return MappingProxyType(self._whole.get(device, {}))

    def owners(self, device: str) -> list[str]:
        """The corridors that have a part in a device, by name."""
        return sorted(name for name, part in self._parts.items() if name != INFRASTRUCTURE and device in part)

    def owners_of(self, device: str, keys: Collection[Hashable]) -> tuple[str, ...]:
        """The corridors that these entries of a device are of."""
        found = self._owners.get(device, {})
        names = set[str]().union(*(found[key] for key in keys if key in found))
        return tuple(sorted(names - {INFRASTRUCTURE}))

    def put(self, owner: str, part: Desired) -> Touched:
        """What an owner wants instead of what it wanted; returns where that differs."""
        before = self._parts.pop(owner, {})
        if part:
            self._parts[owner] = part
        touched = difference(before, part)
        for device, keys in touched.items():
            for key in keys:
                self._change(owner, device, key, key in part.get(device, {}))
        return touched

    def _change(self, owner: str, device: str, key: Hashable, wanted: bool) -> None:
        owners = self._owners.setdefault(device, {}).setdefault(key, set())
        (owners.add if wanted else owners.discard)(owner)
        whole = self._whole.setdefault(device, {})
        if owners:
            found = [{key: self._parts[name][device][key]} for name in sorted(owners)]
            whole[key] = found[0][key] if len(found) == 1 else merged(found)[key]
        else:
            del self._owners[device][key], whole[key]


def difference(before: Desired, after: Desired) -> Touched:
    """Per device, the keys of what differs."""
    touched: Touched = {}
    for device in before.keys() | after.keys():
        old, new = before.get(device, {}), after.get(device, {})
        keys = frozenset(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if keys:
            touched[device] = keys
    return touched
