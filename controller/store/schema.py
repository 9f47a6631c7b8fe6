"""The tables, as the newest migration leaves them, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

LONG = BigInteger().with_variant(Integer, "sqlite")
"""SQLite's integers have 64 bits anyway, PostgreSQL's only by this name; kbit/s take 32 without a sign."""

metadata = MetaData()

head = Table(
    "head",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("epoch", LONG, nullable=False),
    Column("sequence", LONG, nullable=False),  # of the newest event
    Column("revision", LONG, nullable=False),  # of the whole database, raised by every change
    Column("writer", String, nullable=False),  # whose change that was
)
"""One row. Every change begins with it and so waits for the one before: order of commits = order of numbers."""

lease = Table(
    "lease",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("epoch", LONG, nullable=False),
    Column("grpc", String, nullable=False),
    Column("rest", String, nullable=False),
    Column("ends", Double, nullable=False),  # seconds since 1970 by the database's clock
)
records = Table("records", metadata, Column("name", String, primary_key=True), Column("body", Text, nullable=False))
ledger = Table(
    "ledger",
    metadata,
    Column("link", String, primary_key=True),
    Column("server", String, primary_key=True),
    Column("direction", Integer, primary_key=True),
    Column("bitmap", Text, nullable=False),  # hexadecimal: up to 952 slots
    Column("kbps", LONG, nullable=False),
    Column("version", LONG, nullable=False),
)
claims = Table(
    "claims",
    metadata,
    Column("link", String, primary_key=True),
    Column("server", String, primary_key=True),
    Column("direction", Integer, primary_key=True),
    Column("first", Integer, primary_key=True),  # slots from here to `last`
    Column("last", Integer, nullable=False),
    Column("owner", String, nullable=False),  # name of a corridor
)
"""Runs of slots. Those of a row never overlap: the migration that made the table has the database see to it."""
ids = Table(
    "ids",
    metadata,
    Column("kind", String, primary_key=True),
    Column("place", String, primary_key=True),
    Column("owner", String, primary_key=True),
    Column("value", Integer, nullable=False),
    UniqueConstraint("kind", "place", "value"),
)
resting = Table(
    "resting_ids",
    metadata,
    Column("kind", String, primary_key=True),
    Column("place", String, primary_key=True),
    Column("value", Integer, primary_key=True),
    Column("freed_at", DateTime, nullable=False),
)
wiring = Table(
    "wiring",
    metadata,
    Column("link", String, primary_key=True),
    Column("a_port", LONG, nullable=False),
    Column("z_port", LONG, nullable=False),
    Column("down", Boolean, nullable=False),
)
routed = Table(
    "routed",
    metadata,
    Column("link", String, primary_key=True),
    Column("igp_metric", LONG, nullable=False),
    Column("delay_us", LONG, nullable=False),
)
maintenance = Table(
    "maintenance",
    metadata,
    Column("name", String, primary_key=True),  # of a node or link that is drained
    Column("since", Double, nullable=False),  # seconds since 1970 by the database's clock
)
capabilities = Table(
    "capabilities", metadata, Column("node", String, primary_key=True), Column("body", Text, nullable=False)
)
events = Table(
    "events",
    metadata,
    Column("sequence", LONG, primary_key=True, autoincrement=False),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("event_time", DateTime, nullable=False),
)
