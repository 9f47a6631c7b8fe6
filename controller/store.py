"""The store: records, ledger rows, ids, wiring, routed links and events; one transaction per change.

SQLite in WAL mode. A ledger row is updated only at the version that planning saw (compare-and-set), and an id is
unique in its scope, so that not even two processes can hand a slot or an id out twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import TypeAdapter
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from controller.core.errors import Conflict
from controller.core.ids import IdKey, Ids
from controller.core.model import Corridor, CorridorEvent, EventType
from controller.core.otn import Ledger, Row, RowKey
from controller.core.plan import Plan
from controller.core.records import Record
from controller.core.segments.igp import LinkMetrics

_schema = MetaData()
_settings = Table(
    "settings", _schema, Column("key", String, primary_key=True), Column("value", Integer, nullable=False)
)
_records = Table("records", _schema, Column("name", String, primary_key=True), Column("body", Text, nullable=False))
_ledger = Table(
    "ledger",
    _schema,
    Column("link", String, primary_key=True),
    Column("server", String, primary_key=True),
    Column("direction", Integer, primary_key=True),
    Column("bitmap", Text, nullable=False),  # hexadecimal: up to 952 slots
    Column("kbps", Integer, nullable=False),
    Column("version", Integer, nullable=False),
)
_ids = Table(
    "ids",
    _schema,
    Column("kind", String, primary_key=True),
    Column("place", String, primary_key=True),
    Column("owner", String, primary_key=True),
    Column("value", Integer, nullable=False),
    UniqueConstraint("kind", "place", "value"),
)
_resting = Table(
    "resting_ids",
    _schema,
    Column("kind", String, primary_key=True),
    Column("place", String, primary_key=True),
    Column("value", Integer, primary_key=True),
    Column("freed_at", DateTime, nullable=False),
)
_wiring = Table(
    "wiring",
    _schema,
    Column("link", String, primary_key=True),
    Column("a_port", Integer, nullable=False),
    Column("z_port", Integer, nullable=False),
    Column("down", Boolean, nullable=False),
)
_routed = Table(
    "routed",
    _schema,
    Column("link", String, primary_key=True),
    Column("igp_metric", Integer, nullable=False),
    Column("delay_us", Integer, nullable=False),
)
_events = Table(
    "events",
    _schema,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("event_time", DateTime, nullable=False),
)

_record_codec: TypeAdapter[Record] = TypeAdapter(Record)
_corridor_codec: TypeAdapter[Corridor] = TypeAdapter(Corridor)


@dataclass(frozen=True, slots=True)
class Wiring:
    """What was seen of a link: its ports (0: never seen, or an adjacency), and whether it was lost since."""

    a_port: int
    z_port: int
    down: bool = False


@dataclass(frozen=True)
class Stored:
    """What a controller finds when it starts."""

    records: Mapping[str, Record]
    ids: Ids
    ledger_versions: Mapping[RowKey, int]
    wiring: Mapping[str, Wiring]
    routed: Mapping[str, LinkMetrics] = field(default_factory=dict)
    """The adjacencies that carry the routes which standing segment lists were encoded for, as they were then."""


class Store:
    """One database. Every method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._epoch: int | None = None
        """Of this start; None: that of whoever writes."""

    @classmethod
    async def open(cls, url: str) -> Store:
        """Open or create; `url` as SQLAlchemy spells it, `sqlite:///file` for short."""
        engine = create_async_engine(url.replace("sqlite://", "sqlite+aiosqlite://", 1) if "+" not in url else url)
        event.listen(engine.sync_engine, "connect", _durable)
        async with engine.begin() as connection:
            await connection.run_sync(_schema.create_all)
        return cls(engine)

    async def close(self) -> None:
        await self._engine.dispose()

    async def raise_epoch(self) -> int:
        """The fencing epoch of this start: OpenFlow generation id, high half of the P4Runtime election id."""
        async with self._engine.begin() as connection:
            # One statement: of two that start at the same time, each gets its own.
            raised = {"value": _settings.c.value + 1}
            statement = upsert(_settings).values(key="epoch", value=1)
            statement = statement.on_conflict_do_update(index_elements=["key"], set_=raised)
            self._epoch = int((await connection.execute(statement.returning(_settings.c.value))).scalar_one())
            return self._epoch

    async def _require_epoch(self, connection: AsyncConnection) -> None:
        """Nobody has started since: not every change touches a ledger row that would tell. Takes the write lock."""
        mine = (_settings.c.key == "epoch") & (_settings.c.value == self._epoch)
        statement = update(_settings).where(mine).values(value=_settings.c.value)
        if self._epoch is not None and (await connection.execute(statement)).rowcount != 1:
            raise Conflict("another controller has taken over", reason="FENCED")

    async def load(self) -> Stored:
        async with self._engine.begin() as connection:
            bodies = (await connection.execute(select(_records.c.body))).scalars()
            records = [_record_codec.validate_json(body) for body in bodies]
            ids = {IdKey(r.kind, r.place, r.owner): r.value for r in await connection.execute(select(_ids))}
            resting = {
                (r.kind, r.place, r.value): r.freed_at.replace(tzinfo=UTC)
                for r in await connection.execute(select(_resting))
            }
            versions = {
                RowKey(r.link, r.server, r.direction): r.version for r in await connection.execute(select(_ledger))
            }
            wiring = {r.link: Wiring(r.a_port, r.z_port, r.down) for r in await connection.execute(select(_wiring))}
            routed = {r.link: LinkMetrics(r.igp_metric, r.delay_us) for r in await connection.execute(select(_routed))}
        return Stored({r.name: r for r in records}, Ids(ids, resting), versions, wiring, routed)

    async def open_ledger(self, ledger: Ledger) -> None:
        """Write every row as the records and the topology file say it is; for the start, before any plan."""
        rows = [_ledger_row(key, row) for key, row in ledger.rows.items()]
        async with self._engine.begin() as connection:
            await connection.execute(delete(_ledger))
            if rows:
                await connection.execute(insert(_ledger), rows)

    async def put_ids(self, before: Ids, after: Ids) -> None:
        async with self._engine.begin() as connection:
            await _write_ids(connection, before, after)

    async def put_wiring(self, link: str, wiring: Wiring) -> None:
        """What discovery found of a link: a restart knows it before the first LLDP frame."""
        values = {"a_port": wiring.a_port, "z_port": wiring.z_port, "down": wiring.down}
        statement = upsert(_wiring).values(link=link, **values)
        async with self._engine.begin() as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=["link"], set_=values))

    async def put_routed(self, links: Mapping[str, LinkMetrics]) -> None:
        """The adjacencies that routes run over from now on."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(_routed))
            if links:
                rows = [{"link": link, **each._asdict()} for link, each in sorted(links.items())]
                await connection.execute(insert(_routed), rows)

    async def commit(self, plan: Plan, ledger: Ledger, ids: Ids, kind: EventType, now: datetime) -> CorridorEvent:
        """Apply a plan that was made on `ledger` and `ids`. `Conflict` where another writer was faster, or began."""
        try:
            async with self._engine.begin() as connection:
                await self._require_epoch(connection)
                await _write_ledger(connection, ledger, plan.ledger)
                await _write_ids(connection, ids, plan.ids)
                await _write_record(connection, plan.record, kind)
                return await _append(connection, plan.record.corridor, kind, now)
        except IntegrityError as clash:
            raise Conflict("another controller took the same id", reason="CONCURRENT_CHANGE") from clash

    async def newest_sequence(self) -> int:
        async with self._engine.begin() as connection:
            return (await connection.execute(select(func.max(_events.c.sequence)))).scalar() or 0

    async def events(self, after: int, limit: int = 1000) -> tuple[CorridorEvent, ...]:
        """The events past a sequence number, oldest first."""
        query = select(_events).where(_events.c.sequence > after).order_by(_events.c.sequence).limit(limit)
        async with self._engine.begin() as connection:
            return tuple(
                CorridorEvent(
                    row.sequence,
                    EventType(row.type),
                    _corridor_codec.validate_json(row.body),
                    row.event_time.replace(tzinfo=UTC),
                )
                for row in await connection.execute(query)
            )


def _durable(connection: object, _record: object) -> None:
    """WAL with a sync at each commit: what was acknowledged survives a power cut."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _write_ledger(connection: AsyncConnection, before: Ledger, after: Ledger) -> None:
    """Rows that come, change and go, each at the version that planning saw."""
    for key, seen, row in before.changed(after):
        mine = [getattr(_ledger.c, name) == value for name, value in key._asdict().items()]
        stale = Conflict(f"{key.link} was claimed by another writer", reason="CONCURRENT_CHANGE")
        if seen is None and row is not None:
            try:
                await connection.execute(insert(_ledger).values(_ledger_row(key, row)))
            except IntegrityError as clash:
                raise stale from clash
            continue
        assert seen is not None
        write = delete(_ledger) if row is None else update(_ledger).values(_ledger_row(key, row))
        if (await connection.execute(write.where(*mine, _ledger.c.version == seen.version))).rowcount != 1:
            raise stale


def _ledger_row(key: RowKey, row: Row) -> dict[str, object]:
    """Without what is booked: that follows from the records."""
    return {**key._asdict(), "bitmap": f"{row.bitmap:x}", "kbps": row.kbps, "version": row.version}


async def _write_ids(connection: AsyncConnection, before: Ids, after: Ids) -> None:
    if after is before:
        return
    gone = [key for key in before.assigned if key not in after.assigned]
    for key in gone:
        await connection.execute(
            delete(_ids).where(_ids.c.kind == key.kind, _ids.c.place == key.where, _ids.c.owner == key.owner)
        )
    new = [
        {"kind": key.kind, "place": key.where, "owner": key.owner, "value": value}
        for key, value in after.assigned.items()
        if key not in before.assigned
    ]
    if new:
        await connection.execute(insert(_ids), new)
    await connection.execute(delete(_resting))
    rest = [
        {"kind": kind, "place": place, "value": value, "freed_at": freed.astimezone(UTC).replace(tzinfo=None)}
        for (kind, place, value), freed in after.resting.items()
    ]
    if rest:
        await connection.execute(insert(_resting), rest)


async def _write_record(connection: AsyncConnection, record: Record, kind: EventType) -> None:
    if kind is EventType.DELETED:
        await connection.execute(delete(_records).where(_records.c.name == record.name))
        return
    body = _record_codec.dump_json(record).decode()
    statement = upsert(_records).values(name=record.name, body=body)
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"body": body}))


async def _append(connection: AsyncConnection, corridor: Corridor, kind: EventType, now: datetime) -> CorridorEvent:
    body = _corridor_codec.dump_json(corridor).decode()
    values = {"type": kind.value, "body": body, "event_time": now.astimezone(UTC).replace(tzinfo=None)}
    result = await connection.execute(insert(_events).values(**values))
    key = result.inserted_primary_key
    assert key is not None
    return CorridorEvent(key[0], kind, corridor, now)
