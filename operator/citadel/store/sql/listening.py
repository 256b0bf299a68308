"""Notices from Postgres, by LISTEN. They are lost while there is no connection."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence

import psycopg
from psycopg import sql
from sqlalchemy import URL

from citadel.store.journal import Notice
from citadel.store.sql.announcing import CHANNEL, announcing, payloads, read_payload
from citadel.store.sql.engine import CONNECT_SECONDS, Connection

log = logging.getLogger(__name__)

#: Seconds after which a silent connection is asked whether it is alive, and between attempts to connect.
CHECK_SECONDS = 10.0
RECONNECT_SECONDS = 0.5
_ANNOUNCE = announcing()


class PostgresNotices:
    """Notices through channels, one for each topic."""

    def __init__(self, url: URL) -> None:
        self._parameters = url.translate_connect_args(username="user", database="dbname") | dict(url.query)

    async def announce(self, connection: Connection, notices: Sequence[Notice]) -> None:
        """NOTIFY, which takes effect with the commit."""
        await connection.execute(_ANNOUNCE, {"notices": payloads(notices)})

    def committed(self, notices: Sequence[Notice]) -> None:
        """Nothing: the database has announced them."""

    async def listen(self, topics: Collection[str]) -> AsyncIterator[Notice]:
        """Notices of `topics` as they come, over a connection of its own, which is opened again."""
        away = False
        while True:
            try:
                async with contextlib.aclosing(self._once(topics)) as once:
                    async for notice in once:
                        if away:
                            log.info("listening to the database again")
                            away = False
                        yield notice
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                if not away:
                    log.warning("no notices from the database: %s", str(error).strip().partition("\n")[0])
                away = True
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _once(self, topics: Collection[str]) -> AsyncGenerator[Notice]:
        connection = await psycopg.AsyncConnection.connect(
            **self._parameters,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="citadel-notices",
        )
        async with connection:
            for topic in topics:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL + topic)))
            # What was announced before is lost: whoever hears this looks for himself.
            yield Notice("listening", "")
            while True:
                async for found in connection.notifies(timeout=CHECK_SECONDS):
                    yield read_payload(found.payload)
                async with asyncio.timeout(CONNECT_SECONDS):
                    await connection.execute("SELECT 1")
