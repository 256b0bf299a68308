"""What the status of a Runtime says of its pool costs writes: what lasts is said, and all that is wrong."""

from citadel.api.reasons import Reason
from citadel.controller.board import LASTING_SECONDS, REPORT_SECONDS, STALE_SECONDS, Board, Report
from citadel.controller.checking import Unusable
from citadel.controller.pools import Size

KEY = ("team", "python")
FULL, CLAIMED = Size(ready=2, starting=0, wanted=2), Size(ready=1, starting=1, wanted=2)


def writes(board: Board, since: float, seconds: float, *sizes: Size) -> int:
    """How often the status is written while the pool has these sizes in turn, each for a second."""
    return sum(
        len(board.post({KEY: Report(sizes[second % len(sizes)])}, since + second))
        for second in range(int(seconds))
    )


def test_a_pool_is_told_of_at_once() -> None:
    board = Board()
    assert not board.complete
    assert board.post({KEY: Report(FULL)}, 0.0) == [KEY]
    assert board.complete
    assert board.reports == {KEY: Report(FULL)}


def test_claims_and_refills_are_no_news() -> None:
    board = Board()
    board.post({KEY: Report(FULL)}, 0.0)
    assert writes(board, 1.0, STALE_SECONDS - 2, FULL, CLAIMED, FULL) == 0


def test_a_size_that_lasts_is_told_when_the_last_report_is_old_enough() -> None:
    board = Board()
    board.post({KEY: Report(FULL)}, 0.0)
    assert writes(board, 1.0, REPORT_SECONDS - 2, CLAIMED) == 0
    assert writes(board, REPORT_SECONDS, LASTING_SECONDS, CLAIMED) == 1
    assert board.reports[KEY].size == CLAIMED


def test_what_never_lasts_is_told_in_the_end() -> None:
    board = Board()
    board.post({KEY: Report(FULL)}, 0.0)
    other = Size(ready=0, starting=1, wanted=2)
    assert writes(board, 1.0, STALE_SECONDS + 1, CLAIMED, other) == 1


def test_what_is_wrong_and_that_it_is_over_is_told_at_once() -> None:
    board = Board()
    board.post({KEY: Report(FULL)}, 0.0)
    problem = Unusable(Reason.POOL_DEGRADED, "no such image", waits=True)
    assert board.post({KEY: Report(CLAIMED, problem)}, 1.0) == [KEY]
    assert board.post({KEY: Report(CLAIMED, problem)}, 2.0) == []
    assert board.post({KEY: Report(FULL)}, 3.0) == [KEY]


def test_a_runtime_whose_pool_is_gone_is_told_once() -> None:
    board = Board()
    board.post({KEY: Report(FULL)}, 0.0)
    assert board.post({}, 1.0) == [KEY]
    assert board.post({}, 2.0) == []
    assert board.reports == {}
