"""What Alembic runs: on the connection that `migrate` hands it, never from a configuration file."""

from alembic import context

from citadel.store.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
