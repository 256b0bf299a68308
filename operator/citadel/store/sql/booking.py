"""The statements of the ledger: each is one transaction, and one way to the database and back.

Rows are locked in one order, whatever a statement does: the grant, the reservation, the accounts by their
keys. What a locked row holds is read from the row as it is once it is locked; nothing is counted here, for
which a statement's view of other rows would be as old as its beginning.

Keys of accounts are an array of a subquery. Of a subquery alone Postgres expects so many that it reads the
table whole; of an array that it is given it counts the parts, and plans anew for each, which takes longer
than the rest.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, TextClause, bindparam, text
from sqlalchemy import Text as Characters
from sqlalchemy.dialects.postgresql import ARRAY

from citadel.core.spending import Account, Reservation
from citadel.store.sql.engine import NOW

#: The parts of a record that whoever settles hands over, and their parameters: `of_answer`.
RECORDED = (
    "uid",
    "step",
    "attempt",
    "digest",
    "model",
    "answer",
    "input_tokens",
    "output_tokens",
    "cost",
    "request",
)

RESERVE = text(
    f"""
    WITH known AS (
        SELECT * FROM model_records
        WHERE uid = :uid AND step = :step AND attempt = :attempt AND digest = :digest
    ), granted AS (
        SELECT turns FROM model_grants
        WHERE :granted AND uid = :uid AND step = :step AND attempt = :attempt FOR UPDATE
    ), locked AS (
        SELECT key, cost, tokens FROM model_accounts
        WHERE key = ANY(ARRAY(SELECT unnest(:keys)))
        AND (SELECT count(*) FROM granted) >= CAST(:granted AS integer)
        ORDER BY key FOR UPDATE
    ), fits AS (
        SELECT 1 WHERE (SELECT count(*) FROM locked) = cardinality(:keys)
        AND NOT EXISTS (SELECT FROM known)
        AND (NOT :granted OR EXISTS (
            SELECT FROM granted WHERE :begins = 0 OR CAST(:turns AS integer) IS NULL OR turns < :turns
        ))
        AND NOT EXISTS (
            SELECT FROM unnest(:limited, :costs, :tokens) AS most (key, cost, tokens) JOIN locked USING (key)
            WHERE locked.cost + :need_cost > most.cost OR locked.tokens + :need_tokens > most.tokens
        )
    ), made AS (
        INSERT INTO model_reservations
            (id, uid, step, attempt, namespace, model, provider, at, state, cost, input_tokens, output_tokens,
            accounts)
        SELECT :id, :uid, :step, :attempt, :namespace, :model, :provider, {NOW}, 'reserved',
            :need_cost, :need_tokens - :max_tokens, :max_tokens, to_json(:keys)
        FROM fits ON CONFLICT DO NOTHING RETURNING id
    ), added AS (
        UPDATE model_accounts AS account
        SET cost = account.cost + :need_cost, tokens = account.tokens + :need_tokens, changed_at = {NOW}
        FROM locked, made WHERE account.key = locked.key
    ), begun AS (
        UPDATE model_grants SET turns = model_grants.turns + :begins FROM made
        WHERE :granted AND :begins > 0 AND uid = :uid AND step = :step AND attempt = :attempt
    )
    SELECT
        (SELECT row_to_json(known) FROM known) AS known,
        EXISTS (SELECT FROM made) OR EXISTS (SELECT FROM model_reservations WHERE id = :id) AS reserved,
        (SELECT count(*) FROM locked) < cardinality(:keys)
            AND (NOT :granted OR EXISTS (SELECT FROM granted)) AS missing,
        (SELECT turns FROM granted) AS turns,
        (SELECT coalesce(json_agg(json_build_array(key, cost, tokens)), '[]') FROM locked) AS spent
    """  # noqa: S608 - of constants
).bindparams(
    bindparam("digest", type_=Characters),
    bindparam("keys", type_=ARRAY(Characters)),
    bindparam("limited", type_=ARRAY(Characters)),
    bindparam("costs", type_=ARRAY(BigInteger)),
    bindparam("tokens", type_=ARRAY(BigInteger)),
    bindparam("need_cost", type_=BigInteger),
    bindparam("need_tokens", type_=BigInteger),
    bindparam("max_tokens", type_=BigInteger),
)

#: Of a reservation that nobody has ended yet; with a record after its grant.
_MINE = "mine AS (SELECT * FROM model_reservations WHERE id = :id AND state = 'reserved' {after} FOR UPDATE)"
_GRANTED = """granted AS (
        SELECT answered FROM model_grants
        WHERE uid = :of_uid AND step = :of_step AND attempt = :of_attempt FOR UPDATE
    )"""
_AFTER_GRANT = "AND (SELECT count(*) FROM granted) >= 0"
_SETTLED = f"""locked AS (
        SELECT key FROM model_accounts
        WHERE key = ANY(ARRAY(SELECT json_array_elements_text(accounts) FROM mine)) ORDER BY key FOR UPDATE
    ), given_back AS (
        UPDATE model_accounts AS account
        SET cost = account.cost + :cost - mine.cost,
            tokens = account.tokens + :input_tokens + :output_tokens - mine.input_tokens - mine.output_tokens,
            changed_at = {NOW}
        FROM locked, mine WHERE account.key = locked.key
    ), ended AS (
        UPDATE model_reservations AS one SET state = 'settled', cost = :cost,
            input_tokens = :input_tokens, output_tokens = :output_tokens
        FROM mine WHERE one.id = mine.id
    )"""  # noqa: S608 - of constants
_CHARGED = """ended AS (
        UPDATE model_reservations AS one SET state = 'charged' FROM mine WHERE one.id = mine.id
    )"""
_RECORDED = f"""recorded AS (
        INSERT INTO model_records
            (uid, step, attempt, digest, n, at, model, answer, input_tokens, output_tokens, cost, request)
        SELECT :of_uid, :of_step, :of_attempt, :of_digest, granted.answered + 1, {NOW}, :of_model,
            :of_answer, :of_input_tokens, :of_output_tokens, :of_cost, :of_request
        FROM granted, mine ON CONFLICT DO NOTHING RETURNING 1
    ), counted AS (
        UPDATE model_grants SET answered = answered + 1 FROM recorded
        WHERE uid = :of_uid AND step = :of_step AND attempt = :of_attempt
    )"""  # noqa: S608 - of constants


def _statement(*parts: str, record: bool) -> TextClause:
    mine = _MINE.format(after=_AFTER_GRANT if record else "")
    with_record = [_GRANTED, mine, *parts, _RECORDED] if record else [mine, *parts]
    found = text(f"WITH {', '.join(with_record)} SELECT count(*) FROM mine")  # noqa: S608 - of constants
    if not record:
        return found
    answer, request = (
        bindparam("of_answer", type_=JSON),
        bindparam("of_request", type_=JSON(none_as_null=True)),
    )
    return found.bindparams(answer, request)


SETTLE = _statement(_SETTLED, record=False)
SETTLE_AND_RECORD = _statement(_SETTLED, record=True)
CHARGE = _statement(_CHARGED, record=False)
CHARGE_AND_RECORD = _statement(_CHARGED, record=True)
UNANSWERED = text(
    "UPDATE model_grants SET turns = turns - 1"
    " WHERE uid = :uid AND step = :step AND attempt = :attempt AND turns > answered"
)


def parameters_of(reservation: Reservation, accounts: Sequence[Account], name: str) -> dict[str, Any]:
    """The parameters of `RESERVE`; `accounts` are those of the day."""
    turn, need = reservation.turn, reservation.need
    return {
        "id": name,
        "uid": reservation.uid,
        "step": reservation.step,
        "attempt": reservation.attempt,
        "namespace": reservation.namespace,
        "model": reservation.model,
        "provider": reservation.provider,
        "digest": reservation.digest,
        "granted": turn is not None,
        "turns": None if turn is None else turn.limit,
        "begins": int(turn is not None and turn.begins),
        "keys": sorted({account.key for account in accounts}),
        "limited": [account.key for account in accounts],
        "costs": [account.cost for account in accounts],
        "tokens": [account.tokens for account in accounts],
        "need_cost": need.cost,
        "need_tokens": need.tokens,
        "max_tokens": reservation.max_tokens,
    }
