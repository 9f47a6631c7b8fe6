"""Run by Alembic: the steps, on the connection and in the transaction that `opening` hands over."""

from __future__ import annotations

from alembic import context

from controller.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
