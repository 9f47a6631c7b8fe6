"""One row that orders all changes, the lease, what is drained, and what routers can do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "head",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, LONG, nullable=False) for name in ("epoch", "sequence", "revision")),
        sa.Column("writer", sa.String, nullable=False),
    )
    op.execute(
        "INSERT INTO head SELECT 1, coalesce((SELECT value FROM settings WHERE key = 'epoch'), 0),"
        " coalesce((SELECT max(sequence) FROM events), 0), 0, ''"
    )
    op.drop_table("settings")
    op.create_table(
        "lease",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("epoch", LONG, nullable=False),
        sa.Column("grpc", sa.String, nullable=False),
        sa.Column("rest", sa.String, nullable=False),
        sa.Column("ends", sa.Double, nullable=False),
    )
    op.create_table(
        "maintenance",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("since", sa.Double, nullable=False),
    )
    op.create_table(
        "capabilities",
        sa.Column("node", sa.String, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
