"""What a follower tells before it has read anything, and what it hears of that no event tells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from waiting import until

from controller.core.errors import Unavailable
from controller.core.ids import Ids
from controller.core.model import Corridor, EventType
from controller.core.otn import Ledger
from controller.core.plan import Plan
from controller.core.records import Record, Stage
from controller.core.topology import Topology
from controller.follower import Replica
from controller.reading import Reading
from controller.store import Store
from controller.topology_file import load

PARENT = "tenants/default"
NAME = f"{PARENT}/corridors/c1"


@pytest.fixture
async def leaders(tmp_path: Path) -> AsyncIterator[Store]:
    """Of a leader that has stored a corridor."""
    store = await Store.open(f"sqlite:///{tmp_path}/corridor.db")
    await store.raise_epoch()
    record = Record(Corridor(name=NAME), None, None, Stage.SETTLED)
    await store.commit(Plan(None, record, Ledger(), Ids()), Ledger(), Ids(), EventType.CREATED, datetime.now(UTC))
    yield store
    await store.close()


@pytest.fixture
async def replica(leaders: Store, tmp_path: Path) -> AsyncIterator[Replica]:
    """Not started yet."""
    plan = load(Path(__file__).parents[2] / "topologies" / "metro-beijing.yaml")
    store = await Store.open(f"sqlite:///{tmp_path}/corridor.db")
    replica = Replica(store, Topology.planned(plan.domain, plan.srv6_block, plan.nodes, plan.links))
    yield replica
    await replica.close()
    await store.close()


@pytest.mark.parametrize("after", [0, 1])
async def test_before_it_has_read_anything_it_says_so(replica: Replica, after: int) -> None:
    """Neither that a corridor is not there, nor that there is none, nor that events are gone."""
    reading = Reading(replica)
    with pytest.raises(Unavailable) as got:
        await reading.get_corridor(NAME)
    with pytest.raises(Unavailable) as listed:
        await reading.list_corridors(PARENT)
    with pytest.raises(Unavailable) as watched:
        await anext(reading.watch_corridors(PARENT, after))
    for refused in (got, listed, watched):
        assert (refused.value.reason, refused.value.metadata) == ("NOT_READY", {"retryAfterS": "1"})
    assert not replica.watched
    replica.start()
    await until(lambda: replica.loaded, "it has read all")
    assert (await reading.get_corridor(NAME)).name == NAME
    assert [each.name for each in (await reading.list_corridors(PARENT))[0]] == [NAME]


async def test_a_node_that_can_do_less_is_heard_of(leaders: Store, replica: Replica) -> None:
    """No event tells it: its corridors are shown by it all the same."""
    replica.start()
    await until(lambda: replica.loaded, "it has read all")
    node = min(replica.topology.nodes)
    able = replica.topology.nodes[node].capabilities
    await leaders.put_capabilities(node, replace(able, shaping=not able.shaping))
    await until(lambda: replica.topology.nodes[node].capabilities.shaping is not able.shaping, "it hears", 10.0)
