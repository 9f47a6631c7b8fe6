"""How either database is spoken to: driver, durability, and what a transaction begins with."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from controller.core.errors import Invalid
from controller.store.outages import READ_ONLY

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
CONNECT_S = 5.0
ANSWER_S = 10.0
"""For one statement, a wait for the row of `head` included."""
SESSION = {
    "application_name": "corridor-controller",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "2000",
    "tcp_user_timeout": "5000",
}
"""A controller that stops in the middle of a change (paused, cut off) must not hold `head` against its successor."""
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", f"journal_size_limit={64 << 20}")
"""WAL with a sync at each commit: what was acknowledged survives a power cut."""


FORMS = "write sqlite:///file or postgresql://user@host:port/database"


def engine_of(url: str) -> AsyncEngine:
    """Of `sqlite:///file` or `postgresql://user@host:port/database`; `Invalid` where it is neither."""
    full = _with_driver(url)
    if full.get_backend_name() == "sqlite":
        engine = create_async_engine(full, connect_args={"factory": _RollingBack})
        event.listen(engine.sync_engine, "connect", _durable)
        event.listen(engine.sync_engine, "begin", _begin)
        return engine
    arguments = {"timeout": CONNECT_S, "command_timeout": ANSWER_S, "server_settings": SESSION}
    engine = create_async_engine(full, pool_pre_ping=True, pool_timeout=CONNECT_S, connect_args=arguments)
    event.listen(engine.sync_engine, "handle_error", _leave_if_read_only)
    return engine


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Transactions that see one state of the database from their first statement on."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(engine: AsyncEngine) -> AsyncEngine:
    """Transactions that may write. On SQLite they take the write lock as they begin: none is refused half-way."""
    return engine.execution_options(writes=True)


def _with_driver(url: str) -> URL:
    try:
        known = make_url(url)
    except (ArgumentError, ValueError):  # both may quote it, with its password
        raise Invalid(f"not a database: {FORMS}") from None
    if known.get_backend_name() not in ("sqlite", *DRIVERS):
        raise Invalid(f"not a database of a kind that is known: {FORMS}")
    return known.set(drivername=DRIVERS.get(known.drivername, known.drivername))


class _RollingBack(sqlite3.Connection):
    """Closing gives the write lock back at once.

    SQLite keeps the transaction of a closed connection until its last statement is finalized (sqlite3_close_v2), and a
    statement that was cancelled before its rows were fetched lives as long as whatever still refers to its task.
    """

    def close(self) -> None:
        with suppress(sqlite3.Error):  # closed already, or lost: nothing to give back
            if self.in_transaction:
                self.rollback()
        super().close()


def _leave_if_read_only(context: ExceptionContext) -> None:
    """All connections of the pool are given up: the next one may reach another server."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _durable(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
