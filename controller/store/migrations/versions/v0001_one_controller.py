"""What one controller alone kept, on SQLite. A database of then has no revision, but has these tables: they stay."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _table("settings", _key("key"), sa.Column("value", LONG, nullable=False))
    _table("records", _key("name"), sa.Column("body", sa.Text, nullable=False))
    _table(
        "ledger",
        *(_key("link"), _key("server"), _key("direction", sa.Integer)),
        sa.Column("bitmap", sa.Text, nullable=False),
        sa.Column("kbps", LONG, nullable=False),
        sa.Column("version", LONG, nullable=False),
    )
    _table(
        "ids",
        *(_key("kind"), _key("place"), _key("owner"), sa.Column("value", sa.Integer, nullable=False)),
        sa.UniqueConstraint("kind", "place", "value"),
    )
    _table(
        "resting_ids",
        *(_key("kind"), _key("place"), _key("value", sa.Integer)),
        sa.Column("freed_at", sa.DateTime, nullable=False),
    )
    _table(
        "wiring",
        _key("link"),
        sa.Column("a_port", LONG, nullable=False),
        sa.Column("z_port", LONG, nullable=False),
        sa.Column("down", sa.Boolean, nullable=False),
    )
    _table(
        "routed",
        *(_key("link"), sa.Column("igp_metric", LONG, nullable=False), sa.Column("delay_us", LONG, nullable=False)),
    )
    _table(
        "events",
        _key("sequence", LONG),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("event_time", sa.DateTime, nullable=False),
    )


def _key(name: str, kind: Any = sa.String) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _table(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(name, *parts, if_not_exists=True)
