"""`citadel-operator PROCESS`: the processes of the control plane, all of them from the same image."""

import logging
import os

import click


@click.group()
def main() -> None:
    """Runs one process of Citadel's control plane; configured by CITADEL_ variables."""
    level = os.environ.get("CITADEL_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # One line per watch event, and one per plugin that was loaded.
    for chatty in ("kopf", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


@main.command()
def bootstrap() -> None:
    """Makes what is made once: CA, certificates, passwords of the bundled database."""
    from citadel.controller.bootstrap import run

    run()


@main.command()
def migrate() -> None:
    """Brings the database to this version's schema and roles, under an advisory lock."""
    from citadel.store.sql.migrate import run

    run()


@main.command()
def controller() -> None:
    """Watches resources, reconciles sandboxes with pods, writes status."""
    from citadel.controller.process import run

    run()


@main.command()
def gateway() -> None:
    """What sandboxes talk to."""
    from citadel.gateway.process import run

    run()


@main.command()
def egress() -> None:
    """The way from sandboxes to the network beyond."""
    from citadel.egress.process import run

    run()


@main.command()
def models() -> None:
    """The only way to a model: makes the calls of steps, and keeps the ledger."""
    from citadel.models.process import run

    run()


@main.command()
def tools() -> None:
    """Calls the HTTP and MCP tools of steps, with credentials that it alone can read."""
    from citadel.tools.process import run

    run()


@main.command()
def api() -> None:
    """What people and other systems talk to."""
    from citadel.web.process import run

    run()


if __name__ == "__main__":
    main()
