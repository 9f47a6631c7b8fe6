"""The lease: one row that says who leads, by the database's clock; no controller's own clock counts."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Double, cast, delete, extract, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.core.leadership import Lease
from controller.store.rows import put
from controller.store.schema import head, lease

NAME = "controller"
JULIAN_1970 = 2440587.5


def database_time(dialect: str) -> ColumnElement[float]:
    """Seconds since 1970 at the moment the statement runs, not when its transaction began."""
    if dialect == "sqlite":
        return (func.julianday("now", type_=Double) - JULIAN_1970) * 86400.0
    return cast(extract("epoch", func.clock_timestamp()), Double)


async def raise_epoch(connection: AsyncConnection) -> int:
    raised = update(head).values(epoch=head.c.epoch + 1).returning(head.c.epoch)
    return int((await connection.execute(raised)).scalar_one())


async def read(connection: AsyncConnection) -> Lease | None:
    remaining = lease.c.ends - database_time(connection.dialect.name)
    columns = lease.c.holder, lease.c.epoch, lease.c.grpc, lease.c.rest, remaining
    row = (await connection.execute(select(*columns).where(lease.c.name == NAME))).one_or_none()
    return None if row is None else Lease(*row)


async def acquire(connection: AsyncConnection, holder: str, grpc: str, rest: str, ttl_s: float) -> Lease | None:
    """Under the lock of `head`: who finds the lease free here has it."""
    if is_held(await read(connection), holder):
        return None
    epoch = await raise_epoch(connection)
    ends = database_time(connection.dialect.name) + ttl_s
    await put(connection, lease, name=NAME, holder=holder, epoch=epoch, grpc=grpc, rest=rest, ends=ends)
    return await read(connection)


def is_held(found: Lease | None, holder: str) -> bool:
    """By somebody else, and not ended."""
    return found is not None and found.holder != holder and found.remaining_s > 0


async def renew(connection: AsyncConnection, holder: str, epoch: int, ttl_s: float) -> bool:
    """Only what has not ended: a lease that has is won anew, with an epoch of its own."""
    now = database_time(connection.dialect.name)
    statement = update(lease).where(*_mine(holder, epoch), lease.c.ends > now).values(ends=now + ttl_s)
    return (await connection.execute(statement)).rowcount == 1


async def release(connection: AsyncConnection, holder: str, epoch: int) -> None:
    await connection.execute(delete(lease).where(*_mine(holder, epoch)))


def _mine(holder: str, epoch: int) -> tuple[ColumnElement[bool], ...]:
    return lease.c.name == NAME, lease.c.holder == holder, lease.c.epoch == epoch
