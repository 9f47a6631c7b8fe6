"""What a controller finds when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.ids import Ids
from controller.core.model import Capabilities
from controller.core.otn import RowKey
from controller.core.records import Record
from controller.core.segments.igp import LinkMetrics
from controller.store import schema
from controller.store.ids import stored_ids
from controller.store.records import stored_records

capabilities_codec: TypeAdapter[Capabilities] = TypeAdapter(Capabilities)


@dataclass(frozen=True, slots=True)
class Wiring:
    """What was seen of a link: its ports (0: never seen, or an adjacency), and whether it was lost since."""

    a_port: int
    z_port: int
    down: bool = False


@dataclass(frozen=True)
class Stored:
    """One state of the database."""

    records: Mapping[str, Record]
    ids: Ids
    ledger_versions: Mapping[RowKey, int]
    wiring: Mapping[str, Wiring]
    routed: Mapping[str, LinkMetrics] = field(default_factory=dict)
    """The adjacencies that carry the routes which standing segment lists were encoded for, as they were then."""
    drained: frozenset[str] = frozenset()
    """Names of nodes and links that are kept free for maintenance."""
    capabilities: Mapping[str, Capabilities] = field(default_factory=dict)
    """By router: what it could do when it last connected."""


async def load(connection: AsyncConnection) -> Stored:
    """All that stands, of one moment if the transaction is of one."""
    ledger, wiring, routed = schema.ledger.c, schema.wiring.c, schema.routed.c
    versions = await connection.execute(select(ledger.link, ledger.server, ledger.direction, ledger.version))
    seen = await connection.execute(select(wiring.link, wiring.a_port, wiring.z_port, wiring.down))
    carried = await connection.execute(select(routed.link, routed.igp_metric, routed.delay_us))
    drained = await connection.execute(select(schema.maintenance.c.name))
    return Stored(
        await stored_records(connection),
        await stored_ids(connection),
        {RowKey(*key): version for *key, version in versions},
        {link: Wiring(*values) for link, *values in seen},
        {link: LinkMetrics(*values) for link, *values in carried},
        frozenset(drained.scalars()),
        await stored_capabilities(connection),
    )


async def stored_capabilities(connection: AsyncConnection) -> dict[str, Capabilities]:
    """By router."""
    able = await connection.execute(select(schema.capabilities.c.node, schema.capabilities.c.body))
    return {node: capabilities_codec.validate_json(body) for node, body in able}
