"""Which corridor holds which slots, so that the database itself refuses a slot to a second one.

A start fills the table from the records, as it does the ledger.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

APART_ON_SQLITE = """
    CREATE TRIGGER claims_apart BEFORE INSERT ON claims
    WHEN EXISTS (
        SELECT 1 FROM claims
        WHERE link = NEW.link AND server = NEW.server AND direction = NEW.direction
        AND first <= NEW.last AND last >= NEW.first
    )
    BEGIN SELECT RAISE(ABORT, 'slots are held by another'); END
"""
FIXED_ON_SQLITE = """
    CREATE TRIGGER claims_fixed BEFORE UPDATE ON claims
    BEGIN SELECT RAISE(ABORT, 'claims come and go, and do not change'); END
"""
APART = """
    ALTER TABLE claims ADD CONSTRAINT claims_apart EXCLUDE USING gist (
        link WITH =, server WITH =, direction WITH =, int4range(first, last, '[]') WITH &&
    )
"""


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("link", sa.String, primary_key=True),
        sa.Column("server", sa.String, primary_key=True),
        sa.Column("direction", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("first", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(APART_ON_SQLITE)
        op.execute(FIXED_ON_SQLITE)
    else:
        op.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")  # trusted: the database's owner may
        op.execute(APART)
