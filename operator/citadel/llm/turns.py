"""One turn of an agent: answered from its record, else asked, and recorded with what it cost."""

from functools import partial

from citadel.core.jsonvalues import Json
from citadel.llm import chat, replies
from citadel.llm.asked import Failed, Payer, Target
from citadel.llm.asking import Asker, PassOn
from citadel.llm.provider import Answer
from citadel.store.ledger import Answered
from citadel.store.model_records import ModelRecord, ModelRecords


async def answer(
    asker: Asker,
    records: ModelRecords,
    payer: Payer,
    asked: chat.Asked,
    bounds: chat.Bounds,
    pass_on: PassOn | None = None,
    request: Json = None,
) -> ModelRecord:
    """The answer to a question of an attempt, which is paid for once; raises Failed, and NotGranted.

    `request` is recorded beside it. What comes from a record is not passed on in pieces.
    """
    made: list[ModelRecord] = []

    def record(target: Target, given: Answer, took: tuple[int, int], cost: int) -> ModelRecord:
        key = (payer.uid, payer.step, payer.attempt, asked.digest, target.key)
        made.append(ModelRecord(*key, replies.message_of(given), *took, cost, request))
        return made[-1]

    question = partial(chat.request_of, asked, bounds)
    try:
        await asker.ask(payer, question, pass_on, record, asked.digest)
    except Answered as answered:
        return answered.record
    except Failed:
        # Where nothing could be asked for, nobody has looked yet.
        known = await records.find(payer.uid, payer.step, payer.attempt, asked.digest)
        if known is None:
            raise
        return known
    return made[-1]
