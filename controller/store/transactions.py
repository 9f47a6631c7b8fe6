"""Transactions: reads that see one state, changes one after the other, each fenced by an epoch and numbered.

A change begins with the row of `head`: it fails there if another controller has begun since, and waits there for the
change before. What is lost with the connection while it commits is looked up in that row afterwards.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controller.core.errors import Conflict, DatabaseUnavailable
from controller.store.connecting import reading, writing
from controller.store.outages import PATIENCE_S, OutcomeUnknown, is_outage, outages_told, patiently
from controller.store.schema import head

Result = TypeVar("Result")
CHANNEL = "corridor_changed"
"""PostgreSQL's NOTIFY channel: a change was committed."""


class Head(NamedTuple):
    """What a change is numbered by."""

    revision: int
    sequence: int
    """Of the newest event, that of this change included."""


class Lost(RuntimeError):
    """A change took place that its maker was told nothing of: what is in memory is no longer what is stored."""


class Transactions:
    """Of one process with one database."""

    def __init__(self, engine: AsyncEngine, patience_s: float = PATIENCE_S) -> None:
        self.engine = engine
        self.patience_s = patience_s
        self.epoch: int | None = None
        """Of this start or lease; None: that of whoever writes."""
        self._reading, self._writing = reading(engine), writing(engine)
        self._writer = str(uuid.uuid4())
        self._turn = asyncio.Lock()
        self.when_fenced: Callable[[Conflict], None] = lambda _error: None
        """Called before `Conflict` (FENCED) is raised: whoever leads no longer must not go on for long."""
        self._doubtful: int | None = None
        """Revision of a change of which it is not known whether it took place."""

    async def read(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """One state of the database, also while others write."""

        async def attempt() -> Result:
            with outages_told():
                async with self._reading.begin() as connection:
                    return await work(connection)

        return await patiently(attempt, self.patience_s)

    async def write(self, work: Callable[[AsyncConnection, Head], Awaitable[Result]], events: int = 0) -> Result:
        """All of a change or nothing of it, with numbers for so many events.

        `Conflict` (FENCED) where another controller has begun since. `DatabaseUnavailable` where the database does
        not answer: the change did not take place, unless it is `OutcomeUnknown`.
        """
        async with self._turn:
            if self._doubtful is not None:
                await patiently(self._settle_doubt, self.patience_s)
            return await patiently(lambda: self._attempt(work, events), self.patience_s)

    async def exclusive(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """While nobody writes; for what is no change of the network. Tried once."""
        with outages_told():
            async with self._writing.begin() as connection:
                await connection.execute(select(head.c.epoch).with_for_update())
                return await work(connection)

    async def alone(self, work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
        """A transaction that waits for no change; tried once."""
        with outages_told():
            async with self._writing.begin() as connection:
                return await work(connection)

    def begin_epoch(self, epoch: int) -> None:
        """From here on; what was in doubt before is read anew by who begins."""
        self.epoch, self._doubtful = epoch, None

    def _fenced(self) -> Conflict:
        error = Conflict("another controller has taken over", reason="FENCED")
        self.when_fenced(error)
        return error

    async def _attempt(self, work: Callable[[AsyncConnection, Head], Awaitable[Result]], events: int) -> Result:
        with outages_told():
            async with self._writing.connect() as connection:
                transaction = await connection.begin()
                mine = await self._take_head(connection, events)
                result = await work(connection, mine)
                try:
                    await transaction.commit()
                    return result
                except (DBAPIError, OSError, TimeoutError) as error:
                    if not is_outage(error):
                        raise
                    await connection.invalidate()
        if await self._resolved(mine):
            return result
        raise DatabaseUnavailable("the database was lost before it had committed")

    async def _take_head(self, connection: AsyncConnection, events: int) -> Head:
        statement = update(head).values(
            revision=head.c.revision + 1, sequence=head.c.sequence + events, writer=self._writer
        )
        if self.epoch is not None:
            statement = statement.where(head.c.epoch == self.epoch)
        statement = statement.returning(head.c.revision, head.c.sequence)
        if self.engine.dialect.name == "postgresql":
            taken = statement.cte("taken")
            row = (await connection.execute(select(taken, func.pg_notify(CHANNEL, "")))).one_or_none()
        else:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise self._fenced()
        return Head(row.revision, row.sequence)

    async def _resolved(self, mine: Head) -> bool:
        """Whether a change took place whose commit was not answered."""
        self._doubtful = mine.revision
        try:
            found = await patiently(lambda: self._took_place(mine.revision), self.patience_s)
        except DatabaseUnavailable as still:
            raise OutcomeUnknown("the database was lost while it committed: whether it did is not known") from still
        self._doubtful = None
        return found

    async def _took_place(self, revision: int) -> bool:
        """Looked up under the lock of `head`, which the transaction in question holds until it has ended."""

        async def look(connection: AsyncConnection) -> bool:
            row = (await connection.execute(select(head))).one()
            if row.revision > revision and row.writer != self._writer:
                raise self._fenced()
            return bool(row.revision == revision and row.writer == self._writer)

        return await self.exclusive(look)

    async def _settle_doubt(self) -> None:
        assert self._doubtful is not None
        if await self._took_place(self._doubtful):
            error = Lost("a change was committed while the database was away; a new start finds it")
            context = {"message": "the store is ahead of this process", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            raise error
        self._doubtful = None
