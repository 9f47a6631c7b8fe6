"""The store: every transaction that a controller makes, by name.

Changes of the network are fenced by an epoch and made one after the other (transactions.py); a ledger row is updated
only at the version that planning saw, and an id is unique in its scope, so that not even two processes can hand a
slot or an id out twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Table, delete, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controller.core.errors import Conflict
from controller.core.ids import Ids
from controller.core.leadership import Lease
from controller.core.model import Capabilities, CorridorEvent, EventType
from controller.core.otn import Ledger
from controller.core.plan import Plan
from controller.core.segments.igp import LinkMetrics
from controller.store import changes, events, lease, outages, schema
from controller.store.connecting import engine_of
from controller.store.ids import write_ids
from controller.store.ledger import open_ledger, write_claims, write_ledger
from controller.store.migrating import migrate_patiently
from controller.store.records import stored_records, write_records
from controller.store.rows import put
from controller.store.stored import Stored, Wiring, capabilities_codec, load, stored_capabilities
from controller.store.transactions import Head, Transactions


class Store:
    """One database. Every method is one transaction.

    `DatabaseUnavailable` where the database does not answer for longer than a restart of it takes.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._transactions = Transactions(engine)
        self.keep_events = events.KEEP_EVENTS
        """So many of the newest."""

    @classmethod
    async def open(
        cls,
        url: str,
        keep_events: int = events.KEEP_EVENTS,
        patience_s: float = outages.PATIENCE_S,
        *,
        endless: bool = False,
    ) -> Self:
        """Open `sqlite:///file` or `postgresql://…`, and bring it to the present schema.

        A transaction that finds the database away is tried again for `patience_s`; `endless`: this first one for ever.
        """
        engine = engine_of(url)
        try:
            await migrate_patiently(engine, patience_s, endless=endless)
        except BaseException:
            await engine.dispose()
            raise
        store = cls(engine)
        store.keep_events = keep_events
        store._transactions.patience_s = patience_s
        return store

    async def close(self) -> None:
        await self._engine.dispose()

    async def load(self) -> Stored:
        """All that stands, of one moment."""
        return await self._transactions.read(load)

    async def raise_epoch(self) -> int:
        """The fencing epoch of this start: OpenFlow generation id, high half of the P4Runtime election id."""
        epoch = await self._transactions.exclusive(lease.raise_epoch)
        self._transactions.begin_epoch(epoch)
        return epoch

    def fence(self, epoch: int, when_fenced: Callable[[Conflict], None]) -> None:
        """The epoch of a lease that was won over another connection: what fences this store's changes from here on.

        `when_fenced` is called where a change is refused because another controller leads.
        """
        self._transactions.begin_epoch(epoch)
        self._transactions.when_fenced = when_fenced

    async def acquire_lease(self, holder: str, grpc: str, rest: str, ttl_s: float) -> Lease | None:
        """Lead from now on: where nobody does, or his lease has ended, or it is one's own; else None.

        With an epoch of its own, which this store's changes are fenced by from here on.
        """
        if lease.is_held(await self.lease(), holder):
            return None
        won = await self._transactions.exclusive(
            lambda connection: lease.acquire(connection, holder, grpc, rest, ttl_s)
        )
        if won is not None:
            self._transactions.begin_epoch(won.epoch)
        return won

    async def renew_lease(self, holder: str, epoch: int, ttl_s: float) -> bool:
        """False where it has ended or is another's: who led leads no longer."""
        return await self._transactions.alone(lambda connection: lease.renew(connection, holder, epoch, ttl_s))

    async def release_lease(self, holder: str, epoch: int) -> None:
        """Let another lead at once; nothing where it is another's already."""
        await self._transactions.alone(lambda connection: lease.release(connection, holder, epoch))

    async def lease(self) -> Lease | None:
        """As it stands, also where it has ended."""
        return await self._transactions.alone(lease.read)

    async def open_ledger(self, ledger: Ledger) -> None:
        """Write every row as the records and the topology file say it is; for the start, before any plan."""

        async def write(connection: AsyncConnection, _: Head) -> None:
            await open_ledger(connection, ledger, (await stored_records(connection)).values())

        await self._transactions.write(write)

    async def put_ids(self, before: Ids, after: Ids) -> None:
        if after is not before:
            await self._transactions.write(lambda connection, _: write_ids(connection, before, after))

    async def put_wiring(self, link: str, wiring: Wiring) -> None:
        """What discovery found of a link: a restart knows it before the first LLDP frame."""
        await self._put(schema.wiring, link=link, a_port=wiring.a_port, z_port=wiring.z_port, down=wiring.down)

    async def put_routed(self, links: Mapping[str, LinkMetrics]) -> None:
        """The adjacencies that routes run over from now on."""

        async def write(connection: AsyncConnection, _: Head) -> None:
            await connection.execute(delete(schema.routed))
            if links:
                rows = [{"link": link, **each._asdict()} for link, each in sorted(links.items())]
                await connection.execute(insert(schema.routed), rows)

        await self._transactions.write(write)

    async def put_capabilities(self, node: str, capabilities: Capabilities) -> None:
        """What a router can do: a restart renders for what it is before it connects."""
        await self._put(schema.capabilities, node=node, body=capabilities_codec.dump_json(capabilities).decode())

    async def capabilities(self) -> Mapping[str, Capabilities]:
        """By router: what it could do when it last connected."""
        return await self._transactions.read(stored_capabilities)

    async def put_drained(self, name: str, drained: bool) -> None:
        """Keep a node or link free for maintenance, or no longer."""
        if drained:
            await self._put(schema.maintenance, name=name, since=lease.database_time(self._engine.dialect.name))
        else:
            gone = delete(schema.maintenance).where(schema.maintenance.c.name == name)

            async def write(connection: AsyncConnection, _: Head) -> None:
                await connection.execute(gone)

            await self._transactions.write(write)

    async def commit(self, plan: Plan, ledger: Ledger, ids: Ids, kind: EventType, now: datetime) -> CorridorEvent:
        """Apply a plan that was made on `ledger` and `ids`. `Conflict` where another writer was faster, or began."""
        return (await self.commit_all([(plan, kind)], ledger, ids, now))[0]

    async def commit_all(
        self, changes: Sequence[tuple[Plan, EventType]], ledger: Ledger, ids: Ids, now: datetime
    ) -> Sequence[CorridorEvent]:
        """As `commit`, of at least one plan, each made on what the one before leaves: all of them or none."""
        last = changes[-1][0]
        first = {plan.record.name: plan.before for plan, _ in reversed(changes)}
        final = {plan.record.name: None if kind is EventType.DELETED else plan.record for plan, kind in changes}
        before, after = ([each for each in named.values() if each is not None] for named in (first, final))

        async def write(connection: AsyncConnection, head: Head) -> Sequence[CorridorEvent]:
            await write_ledger(connection, ledger, last.ledger)
            await write_claims(connection, before, after)
            await write_ids(connection, ids, last.ids)
            await write_records(connection, {plan.record.name: (plan.record, kind) for plan, kind in changes})
            await events.prune(connection, head.sequence, self.keep_events, len(changes))
            oldest = head.sequence - len(changes) + 1
            happened = [
                CorridorEvent(sequence, kind, plan.record.corridor, now)
                for sequence, (plan, kind) in enumerate(changes, oldest)
            ]
            await events.append(connection, happened)
            return happened

        try:
            return await self._transactions.write(write, events=len(changes))
        except IntegrityError as clash:
            raise Conflict("another controller took the same id or slot", reason="CONCURRENT_CHANGE") from clash

    async def newest_sequence(self) -> int:
        return await self._transactions.read(events.newest_sequence)

    async def events(self, after: int, limit: int = 1000) -> tuple[CorridorEvent, ...]:
        """The events past a sequence number, oldest first; `OutOfRange` where they are kept no longer, or to come."""
        return await self._transactions.read(lambda connection: events.events_past(connection, after, limit))

    def changes(self) -> AsyncIterator[int]:
        """The newest revision, first as it is and then whenever anybody has changed anything (several: once).

        `DatabaseUnavailable` ends it; ask again.
        """
        return changes.changes(self._transactions)

    async def _put(self, table: Table, **values: Any) -> None:
        await self._transactions.write(lambda connection, _: put(connection, table, **values))
