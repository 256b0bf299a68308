"""The statements of an advance, built once, so that SQLAlchemy and psycopg find them in their caches."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, Table, Text, bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from citadel.store.sql import tables as t
from citadel.store.sql.announcing import announcing
from citadel.store.sql.engine import now
from citadel.store.stepping import FRESH_SECONDS

_EXECUTION = (
    "seq",
    "phase",
    "reason",
    "message",
    "suspended",
    "done",
    "total",
    "created_at",
    "changed_at",
    "finished_at",
    "wake_at",
)
_STEP = ("status", "attempt", "sandbox", "reason", "message", "started_at", "finished_at")


#: What rows have that any advance may write.
EVENT = ("uid", "seq", "at", "kind", "key", "data")
VALUE = ("uid", "digest", "body")
STEP = ("uid", "name", "position", *_STEP)
CALL = ("uid", "step", "attempt", "namespace", "body", "hosts")
LOG = ("uid", "step", "attempt", "n", "stream", "at", "text")


def columns_of(table: Table, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters of `Statements.usual` for these rows."""
    return {f"{table.name}_{name}": [row[name] for row in rows] for name in names}


def _set(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: bindparam(f"new_{name}") for name in names}


class Statements:
    """Parameters are named as columns; in updates `of_…` names the row and `new_…` what is set."""

    def __init__(self, postgres: bool) -> None:
        self.postgres = postgres
        row = select(
            t.executions.c.seq,
            t.executions.c.definition,
            t.executions.c.wake_at,
            t.executions.c.changed_at,
            now().label("now"),
        ).where(t.executions.c.uid == bindparam("of_uid"))
        # NO KEY: appending logs takes a key share lock by its foreign key, and must not wait for advances.
        self.lock = row.with_for_update(key_share=True)
        self.lock_due = row.where(t.executions.c.wake_at <= now()).with_for_update(
            key_share=True, skip_locked=True
        )
        self.log = (
            select(t.executions.c.definition, t.events.c.seq, t.events.c.at, t.events.c.kind, t.events.c.data)
            .select_from(
                t.executions.outerjoin(
                    t.events, (t.events.c.uid == t.executions.c.uid) & (t.events.c.seq >= bindparam("of_seq"))
                )
            )
            .where(t.executions.c.uid == bindparam("of_uid"))
            .order_by(t.events.c.seq)
        )
        self.due = (
            select(t.executions.c.uid)
            .where(t.executions.c.wake_at <= now())
            .order_by(t.executions.c.wake_at)
            .limit(bindparam("of_limit"))
        )
        self.wake = (
            update(t.executions)
            .where(t.executions.c.uid == bindparam("of_uid"))
            .values(wake_at=bindparam("new_wake_at"))
        )
        self.put_off = (
            update(t.executions)
            .where(t.executions.c.uid == bindparam("of_uid"))
            .values(wake_at=now() + bindparam("of_seconds"))
        )
        self.unfinished = (
            select(t.executions.c.uid, t.executions.c.namespace, t.executions.c.name)
            .where(t.executions.c.finished_at.is_(None))
            .order_by(t.executions.c.created_at)
        )
        self.values = select(t.values.c.digest, t.values.c.body).where(
            t.values.c.uid == bindparam("of_uid"),
            t.values.c.digest.in_(bindparam("of_digests", expanding=True)),
        )
        self.inherit = (
            insert(t.values)
            .from_select(
                ["uid", "digest", "body"],
                select(bindparam("new_uid", type_=Text), t.values.c.digest, t.values.c.body).where(
                    t.values.c.uid == bindparam("of_uid"),
                    t.values.c.digest.in_(bindparam("of_digests", expanding=True)),
                ),
            )
            .returning(t.values.c.digest)
        )
        self.definition = select(t.definitions.c.body).where(t.definitions.c.digest == bindparam("of_digest"))
        self.new_execution = self.insert_new(t.executions)
        self.new_definition = self.insert_new(t.definitions)
        self.new_sandbox = self.insert_new(t.sandboxes)
        self.new_logs = self._new_logs()
        self.new_artifacts = self.insert_new(t.artifacts)
        self.execution = (
            update(t.executions).where(t.executions.c.uid == bindparam("of_uid")).values(_set(_EXECUTION))
        )
        self.new_events, self.new_value = insert(t.events), self.insert_new(t.values)
        # Turns of loops and inner steps come as they begin.
        rows = self._insert(t.steps)
        self.step = rows.on_conflict_do_update(
            index_elements=["uid", "name"], set_={name: rows.excluded[name] for name in _STEP}
        )
        self.usual = cache(self._usual)
        self.claim = self._claim()
        self.drain = (
            update(t.sandboxes)
            .where(t.sandboxes.c.name == bindparam("of_name"), t.sandboxes.c.status != "gone")
            .values(status="draining", immediate=t.sandboxes.c.immediate | bindparam("new_immediate"))
        )
        self.builds = select(t.builds.c.namespace, t.builds.c.key, t.builds.c.program, t.builds.c.size).where(
            tuple_(t.builds.c.namespace, t.builds.c.key).in_(bindparam("of_keys", expanding=True))
        )
        # The first stays; that it is of use still is noted.
        self.new_build = self._insert(t.builds).values(used_at=now())
        self.new_build = self.new_build.on_conflict_do_update(
            index_elements=["namespace", "key"], set_={"used_at": now()}
        )
        ended = ("phase", "ended_at", "decided_by", "reason")
        self.approval = self._insert(t.approvals).on_conflict_do_update(
            index_elements=["uid", "step"], set_={name: bindparam(f"new_{name}") for name in ended}
        )
        self.admission = self._insert(t.admissions).on_conflict_do_update(
            index_elements=["uid"], set_={"admitted_at": bindparam("new_admitted_at")}
        )
        c = t.cached.c
        of_keys: Any = bindparam("of_keys", expanding=True)
        self.cached = select(t.cached).where(tuple_(c.namespace, c.key).in_(of_keys), c.expires_at > now())
        a = t.cached_artifacts.c
        self.cached_artifacts = select(t.cached_artifacts).where(tuple_(a.namespace, a.key).in_(of_keys))
        self.outdated = delete(t.cached).where(
            c.namespace == bindparam("of_namespace"),
            c.key == bindparam("of_key"),
            (c.expires_at <= now()) | (c.at <= now() - bindparam("of_seconds")),
        )
        self.new_cached = (
            self._insert(t.cached)
            .values(at=now(), expires_at=now() + bindparam("of_seconds"))
            .on_conflict_do_nothing()
        )
        self.new_cached_artifacts = self.insert_new(t.cached_artifacts)
        self.new_delivery = self._insert(t.deliveries).on_conflict_do_update(
            index_elements=["sandbox"],
            set_={name: bindparam(f"new_{name}") for name in ("uid", "step", "attempt", "placing", "sealed")},
        )
        self.no_delivery = delete(t.deliveries).where(
            t.deliveries.c.sandbox.in_(bindparam("of_sandboxes", expanding=True))
        )

    def _usual(self, *tables: str) -> Any:
        """What any advance writes into these tables, with its notices, as one statement: each costs a round
        trip, and more. Postgres only.

        Its parameters are columns, as `columns_of` makes them of rows.
        """
        calls = self._rows(t.tool_calls, CALL).add_columns(now())
        writes = (
            self.new_events.from_select(EVENT, self._rows(t.events, EVENT)),
            self.new_value.from_select(VALUE, self._rows(t.values, VALUE)),
            self.step.from_select(STEP, self._rows(t.steps, STEP)),
            self.insert_new(t.tool_calls).from_select([*CALL, "placed_at"], calls),
        )
        named = (write.cte(f"wrote_{write.table.name}") for write in writes if write.table.name in tables)
        return self.execution.returning(announcing().scalar_subquery()).add_cte(*named)

    def _new_logs(self) -> Any:
        """Chunks, in Postgres with their notices, as columns: one statement, as in `_usual`."""
        if not self.postgres:
            return self.insert_new(t.logs)
        written = self.insert_new(t.logs).from_select(LOG, self._rows(t.logs, LOG))
        return announcing().add_cte(written.cte("wrote_logs"))

    @staticmethod
    def _rows(table: Table, names: Sequence[str]) -> Select[Any]:
        """Rows for some columns of a table, from parameters that each hold one column."""
        columns = [table.c[name] for name in names]
        given = (
            bindparam(f"{table.name}_{each.name}", type_=ARRAY(each.type, dimensions=1)) for each in columns
        )
        rows = func.unnest(*given).table_valued(*names, name=f"new_{table.name}").render_derived()
        return select(*rows.c)

    def _claim(self) -> Any:
        """Takes the member of a pool that has waited longest, if this namespace may have one more sandbox."""
        row, taken = t.sandboxes.c, t.sandboxes.alias("taken").c
        used = (
            select(func.count())
            .where(
                taken.namespace == bindparam("new_namespace"),
                taken.uid.is_not(None),
                taken.pod_uid.is_not(None),
                taken.status != "gone",
            )
            .scalar_subquery()
        )
        free = (
            select(row.name)
            .where(
                row.uid.is_(None),
                row.pool == bindparam("of_pool"),
                row.namespace.in_(("", bindparam("of_namespace"))),
                row.status == "live",
                row.answered.is_not(None),  # it has told what it found of the network
                row.heartbeat_at > now() - FRESH_SECONDS,
                used < bindparam("of_limit"),
            )
            .order_by(row.wanted_at, row.name)
            .limit(1)
            .with_for_update(skip_locked=True, of=t.sandboxes)
        )
        return (
            update(t.sandboxes)
            .where(row.name == free.scalar_subquery(), row.uid.is_(None), row.status == "live")
            .values(_set(("uid", "namespace", "execution", "placement")))
            .values(wanted_at=now(), claimed_at=now())
            .returning(row.name)
        )

    def insert_new(self, table: Table) -> Any:
        """An insert that leaves rows that are there as they are."""
        return self._insert(table).on_conflict_do_nothing()

    def _insert(self, table: Table) -> Any:
        return insert_postgresql(table) if self.postgres else insert_sqlite(table)
