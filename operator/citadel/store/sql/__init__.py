"""The journal in a database: Postgres in a cluster, SQLite on a laptop. Nothing else imports SQLAlchemy."""
