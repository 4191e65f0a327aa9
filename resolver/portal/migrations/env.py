"""How Alembic reaches the database: through the connection that `store.migrate` hands in, never one of its own."""

from __future__ import annotations

from alembic import context

from resolver.portal.tables import tables

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=tables, render_as_batch=connection.dialect.name == "sqlite")
with context.begin_transaction():
    context.run_migrations()
