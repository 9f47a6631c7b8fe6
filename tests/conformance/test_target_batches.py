"""A batch with a wrong update in the middle: the rest stands, and the wrong one is named (P4Runtime, clause 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from exceptions import differs
from finsy.proto import p4r
from p4_client import DELETE, INSERT, MODIFY, Client, Schema, canonical
from targets import DEVICE_ID, Target

OK, INVALID, UNIMPLEMENTED = "OK", "INVALID_ARGUMENT", "UNIMPLEMENTED"
SCHEMA = Schema()


def drops(prefix: str) -> p4r.Entity:
    return SCHEMA.entry("route_v6", {"vrf": 7, "dst": prefix}, "drop_route")


STANDING, ABSENT, FIRST, LAST = (drops(f"2001:db8:{n}::/48") for n in (70, 71, 72, 73))


def broken(change: Callable[[p4r.TableEntry], object]) -> p4r.Entity:
    entity = p4r.Entity()
    entity.CopyFrom(ABSENT)
    change(entity.table_entry)
    return entity


def without_priority() -> p4r.Entity:
    return SCHEMA.entry("classifier_v4", {"vrf": 7}, "set_policy", 0, policy=1, corridor=1, mtu=1500)


def meter(committed: int, peak: int) -> p4r.Entity:
    entity = SCHEMA.meter(4, committed, committed)
    entity.meter_entry.config.pir = peak
    return entity


WRONG: dict[str, tuple[int, p4r.Entity, str]] = {
    "there already": (INSERT, STANDING, "ALREADY_EXISTS"),
    "nothing to modify": (MODIFY, ABSENT, "NOT_FOUND"),
    "nothing to delete": (DELETE, ABSENT, "NOT_FOUND"),
    "unknown table": (INSERT, broken(lambda e: setattr(e, "table_id", 0x02FFFFFF)), INVALID),
    "unknown action": (INSERT, broken(lambda e: setattr(e.action.action, "action_id", 0x01FFFFFF)), INVALID),
    "action of another table": (INSERT, broken(lambda e: setattr(e.action.action, "action_id", 0x01000009)), INVALID),
    "unknown parameter": (INSERT, broken(lambda e: e.action.action.params.add(param_id=9, value=b"\1")), INVALID),
    "unknown field": (INSERT, broken(lambda e: setattr(e.match[0], "field_id", 77)), INVALID),
    "missing field": (INSERT, broken(lambda e: e.match.pop(0)), INVALID),
    "too wide": (INSERT, broken(lambda e: setattr(e.match[0].exact, "value", b"\1\0\0")), INVALID),
    "bits beyond the prefix": (INSERT, broken(lambda e: setattr(e.match[1].lpm, "prefix_len", 16)), INVALID),
    "no priority": (INSERT, without_priority(), INVALID),
    "a priority": (INSERT, broken(lambda e: setattr(e, "priority", 5)), INVALID),
    "a meter inserted": (INSERT, SCHEMA.meter(4, 1000, 1000), INVALID),
    "peak below committed": (MODIFY, meter(1000, 10), "UNKNOWN"),
    "a register": (INSERT, p4r.Entity(register_entry=p4r.RegisterEntry(register_id=1)), UNIMPLEMENTED),
    "no type": (0, ABSENT, INVALID),
}


@pytest.fixture(scope="module")
def client(programmed: Target) -> Iterator[Client]:
    """Primary beside no other."""
    client = Client(programmed.address, DEVICE_ID, programmed.next_election_id())
    client.stream.arbitrate(client.election_id)
    assert client.stream.status() == 0
    client.write(INSERT, [STANDING])
    yield client
    client.close()


def read(client: Client) -> set[bytes]:
    table = p4r.TableEntry(table_id=client.table_id("route_v6"))
    return canonical(client.read(p4r.Entity(table_entry=table)))


@pytest.mark.parametrize("name", WRONG)
def test_the_rest_of_a_batch_stands(programmed: Target, client: Client, name: str) -> None:
    kind, entity, code = WRONG[name]
    if name == "peak below committed" and differs(programmed.name, "policing"):
        code = UNIMPLEMENTED  # as every peak of its own
    before = read(client)
    batch = [
        p4r.Update(type=INSERT, entity=FIRST),
        p4r.Update(type=kind, entity=entity),
        p4r.Update(type=INSERT, entity=LAST),
    ]
    assert [found.name for found in client.errors(batch)] == [OK, code, OK]
    assert read(client) - before == canonical([FIRST, LAST])
    assert before <= read(client)
    client.write(DELETE, [FIRST, LAST])


def test_a_batch_of_many_with_every_second_one_wrong(client: Client) -> None:
    good = [drops(f"2001:db8:{n:x}::/48") for n in range(0x100, 0x132)]
    batch = [update for entity in good for update in (p4r.Update(type=INSERT, entity=entity),) * 2]
    assert [found.name for found in client.errors(batch)] == [OK, "ALREADY_EXISTS"] * len(good)
    client.write(DELETE, good)
