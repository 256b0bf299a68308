"""What an agent remembers, and what becomes of it when it is too long."""

from collections.abc import Callable
from typing import Any

from citadel.store import conversations as c
from component.agents.doubles import Door, says

Run = Callable[..., Any]


def turns(count: int, size: int) -> list[dict[str, str]]:
    """A history of so many messages of `size` bytes each."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": f"{n}:".ljust(size, "x")} for n in range(count)]


def test_the_history_stands_before_the_prompt(run: Run) -> None:
    door = Door([says("ok")])
    history = [{"role": "user", "content": "I am Åsa."}, {"role": "assistant", "content": "Hello Åsa."}]
    run(door, system="Be kind.", history=history, summary="Likes tea.", memoryTokens=1000)
    system, *sent = door.asked[0]["messages"]
    assert system == {"role": "system", "content": "Be kind."}
    assert sent[0] == {"role": "user", "content": "Notes of our conversation so far:\nLikes tea."}
    assert sent[1:] == [*history, {"role": "user", "content": "Go on."}]
    assert door.remembered == []


def test_beyond_the_limit_the_older_messages_become_a_summary(run: Run) -> None:
    door = Door([says("They spoke of x."), says("ok")])
    history = turns(10, 400)  # 100 tokens each
    assert run(door, history=history, summary="Before.", memoryTokens=600) == "ok"
    asked = door.asked[0]["messages"][1]["content"]
    assert "Remembered from before: Before." in asked
    assert history[6]["content"] in asked
    assert history[7]["content"] not in asked
    assert door.remembered == [{"summary": "They spoke of x.", "covers": 7}]
    sent = door.asked[1]["messages"]
    assert "They spoke of x." in sent[0]["content"]
    assert sent[1:] == [*history[7:], {"role": "user", "content": "Go on."}]


def test_a_summary_is_bounded_whatever_the_model_says(run: Run) -> None:
    door = Door([says("é" * 50_000), says("ok")])
    run(door, history=turns(4, 4000), memoryTokens=500)
    [put] = door.remembered
    assert len(put["summary"].encode()) <= 16_000
    assert put["covers"] == 4


def test_what_comes_near_all_that_an_attempt_is_given_becomes_a_summary_before(run: Run) -> None:
    door = Door([says("Long."), says("ok")])
    history = turns(7, c.CONTENT_LIMIT)
    run(door, history=history, memoryTokens=200_000)
    assert door.remembered == [{"summary": "Long.", "covers": 4}]
    assert door.asked[1]["messages"][1:-1] == history[4:]


def test_many_short_messages_become_a_summary_before_any_is_forgotten(run: Run) -> None:
    door = Door([says("Short."), says("ok")])
    history = turns(302, 5)
    run(door, history=history, memoryTokens=8000)
    assert door.remembered == [{"summary": "Short.", "covers": 152}]
    assert door.asked[1]["messages"][1:-1] == history[152:]


def test_what_may_be_kept_is_and_the_next_question_and_answer_fit_beside_it(package: Any, run: Run) -> None:
    for history in (turns(6, c.CONTENT_LIMIT), turns(300, 5)):
        door = Door([says("ok")])
        run(door, history=history, memoryTokens=200_000)
        assert door.remembered == []
        grown = [*history, *turns(2, c.CONTENT_LIMIT)]
        assert len(grown) <= c.MOST_MESSAGES
        assert c.given([c.Said(**one) for one in grown]) == [c.Said(**one) for one in grown]


def test_where_the_model_writes_no_summary_nothing_goes(run: Run) -> None:
    door = Door([says(" "), says("ok")])
    history = turns(4, 4000)
    run(door, history=history, summary="Before.", memoryTokens=500)
    assert door.remembered == []
    notes, *sent = door.asked[1]["messages"]
    assert notes["content"].endswith("Before.")
    assert sent[:-1] == history


def test_without_a_limit_nothing_is_summarised(run: Run) -> None:
    door = Door([says("ok")])
    assert run(door, history=turns(50, 4000)) == "ok"
