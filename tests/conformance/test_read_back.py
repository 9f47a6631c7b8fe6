"""Every entry kind in every action is read back as it was written, in P4Runtime's canonical form."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from exceptions import REFUSALS, bearable
from finsy.proto import p4r
from p4_client import Client
from packet_world import CARELESS, ENTRIES, GROUPS, METERED, PROTECTED, backed, classifier, color, gateway, route
from targets import DEVICE_ID, PIPELINE, Target

from controller.core.entries import Change, Entry, GroupEntry, MeterEntry, Operation, TableEntry

EVERYTHING: list[Entry] = [
    *(entry for entry in ENTRIES if entry not in CARELESS),
    *GROUPS,
    gateway(2),
    color(METERED, 1, dscp=12),
    color(METERED, 2),
    route("route_v6", 9, 0, 0, 10),  # matches everything: no field on the wire
    route("route_v4", 9, 0, 0, 10),
    classifier(1, 7, 50),
    MeterEntry("slice_meter", 8, 1_250_000, 15_000),
    MeterEntry("slice_meter", 7, 1000, 4000, 2000, 8000),
    MeterEntry("icmp_limit", 2, 100, 20),
    *PROTECTED,
    backed(2, 1, 2, 3, revertive=0),
]


@pytest.fixture(scope="module")
def filled(bare_target: Target) -> Target:
    bare_target.insert(bearable(bare_target.name, EVERYTHING))
    return bare_target


@pytest.fixture
def wire(filled: Target) -> Iterator[list[p4r.Entity]]:
    """Everything, as the device sends it."""
    client = Client(filled.address, DEVICE_ID)
    try:
        yield client.read(
            *(p4r.Entity(table_entry=p4r.TableEntry(table_id=table.id)) for table in PIPELINE.tables.values())
        )
    finally:
        client.close()


def actions(entries: list[Entry]) -> set[tuple[str, str]]:
    """Table and action of each."""
    direct = {(entry.table, entry.action) for entry in entries if isinstance(entry, TableEntry)}
    chosen = {(e.table, member.action) for e in entries if isinstance(e, GroupEntry) for member in e.members}
    return direct | chosen


def test_every_action_of_every_table_is_written_here() -> None:
    names = {action.id: action.name for action in PIPELINE.actions.values()}
    every = {(table.name, names[number]) for table in PIPELINE.tables.values() for number in table.actions}
    assert actions(EVERYTHING) >= every


def test_what_was_written_is_read_back(filled: Target) -> None:
    wanted = bearable(filled.name, EVERYTHING)
    assert dict(filled.ask(lambda device: device.read())) == {entry.key: entry for entry in wanted}


def test_numbers_are_as_short_as_they_can_be(wire: list[p4r.Entity]) -> None:
    assert wire
    for entity in wire:
        for value in _values(entity.table_entry):
            assert value == value.lstrip(b"\0") or value == b"\0", entity


def test_what_matches_everything_is_left_out(wire: list[p4r.Entity]) -> None:
    matches = [match for entity in wire for match in entity.table_entry.match]
    for match in matches:
        if match.HasField("lpm"):
            assert match.lpm.prefix_len > 0
        if match.HasField("ternary"):
            value, mask = (int.from_bytes(part, "big") for part in (match.ternary.value, match.ternary.mask))
            assert mask
            assert not value & ~mask
    routes = {table.id for table in PIPELINE.tables.values() if table.name.startswith("route")}
    assert sum(len(entity.table_entry.match) == 1 for entity in wire if entity.table_entry.table_id in routes) == 2


def _values(entry: p4r.TableEntry) -> Iterator[bytes]:
    for match in entry.match:
        kind = getattr(match, match.WhichOneof("field_match_type"))
        yield from (getattr(kind, name) for name in ("value", "mask") if hasattr(kind, name))
    direct = [entry.action.action] if entry.action.HasField("action") else []
    chosen = [item.action for item in entry.action.action_profile_action_set.action_profile_actions]
    yield from (param.value for action in direct + chosen for param in action.params)


# ---- what a target refuses


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda item: f"{item.target}-{type(item.entry).__name__}-{item.code}")
def test_a_listed_entry_is_refused_alone(filled: Target, refusal) -> None:
    """With the listed code, the updates around it standing; another target takes it."""
    neighbours = [route("route_v6", 9, 1 << 96, 48, 10), route("route_v6", 9, 1 << 97, 48, 10)]
    changes = [Change(Operation.INSERT, entry) for entry in (neighbours[0], refusal.entry, neighbours[1])]

    async def write(device):
        rejections = await device.apply(changes)
        standing = await device.read()
        await device.apply([Change(Operation.DELETE, change.entry) for change in changes if change.entry not in kept])
        return rejections, standing

    kept = bearable(filled.name, EVERYTHING)
    rejections, standing = filled.ask(write)
    if refusal.target == filled.name:
        assert [(item.change, item.code) for item in rejections] == [(changes[1], refusal.code)]
        assert rejections[0].message
        assert refusal.entry.key not in standing
    else:
        assert not rejections
        assert standing[refusal.entry.key] == refusal.entry
    assert all(standing[entry.key] == entry for entry in neighbours)
