import logging
from collections.abc import Callable

import pytest

from kubecast import retrying
from kubecast.errors import (
    BucketNotFound,
    ConfigError,
    Conflict,
    IntegrityError,
    NotFound,
    StoreBusy,
    StoreForbidden,
    StoreFull,
    StoreTimeout,
    StoreUnreachable,
    TuningError,
    TuningUnavailable,
    Unavailable,
)
from kubecast.logs import step
from kubecast.retrying import Budget, retry, spending
from tests.support.clock import Clock


def failing(times: int, error: Exception) -> Callable[[], int]:
    """Fails so often, then returns how often it was called."""
    called = 0

    def action() -> int:
        nonlocal called
        called += 1
        if called <= times:
            raise error
        return called

    return action


@pytest.mark.parametrize("kind", [StoreUnreachable, StoreTimeout, StoreBusy, TuningUnavailable, Unavailable])
def test_fault_that_passes_is_waited_for(kind: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with spending(clock.budget(60)) as budget:
        assert retry(failing(3, kind("the store is down"))) == 4
    assert len(clock.pauses) == 3
    assert all(low <= pause <= 2 * low for low, pause in zip((0.5, 1, 2), clock.pauses, strict=True))
    assert budget.left == 60 - sum(clock.pauses)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert caplog.messages[0].startswith("the store is down; try 2 follows in ")
    assert caplog.messages[0].endswith(" s left of 60)")


@pytest.mark.parametrize(
    "kind",
    [NotFound, IntegrityError, Conflict, StoreForbidden, BucketNotFound, StoreFull, TuningError, ValueError],
)
def test_anything_else_is_tried_once(kind: type[Exception]) -> None:
    clock = Clock()
    with spending(clock.budget(60)), pytest.raises(kind, match=r"^as it is$"):
        retry(failing(1, kind("as it is")))
    assert not clock.pauses


def test_fault_that_stays_is_told_with_tries_and_time() -> None:
    clock = Clock()
    message = r"^no store; tried \d+ times in 40 s, KUBECAST_RETRY_SECONDS is 40$"
    with spending(clock.budget(40)), pytest.raises(StoreUnreachable, match=message):
        retry(failing(1000, StoreUnreachable("no store")))
    assert sum(clock.pauses) == pytest.approx(40)
    assert max(clock.pauses) <= retrying.LONGEST_PAUSE


def test_tries_that_fail_slowly_count() -> None:
    clock, tries = Clock(), []

    def slow() -> None:
        tries.append(clock.now)
        clock.now += 25
        raise StoreTimeout("no answer")

    with spending(clock.budget(60)), pytest.raises(StoreTimeout, match="tried 3 times"):
        retry(slow)
    assert len(tries) == 3


def test_time_of_what_succeeds_does_not_count() -> None:
    clock = Clock()

    def slow() -> None:
        clock.now += 1000

    with spending(clock.budget(60)) as budget:
        retry(slow)
    assert budget.left == 60


def test_one_budget_is_for_all_that_a_step_does() -> None:
    clock = Clock()
    with spending(clock.budget(40)):
        for _ in range(2):
            retry(failing(4, StoreBusy("busy")))
        with pytest.raises(StoreBusy):
            retry(failing(1000, StoreBusy("busy")))
        with pytest.raises(StoreBusy, match=r"^busy$"):  # nothing is left: once
            retry(failing(1, StoreBusy("busy")))
    assert sum(clock.pauses) == pytest.approx(40)


def test_nothing_is_tried_again_at_two_levels() -> None:
    clock, tries = Clock(), []

    def inner() -> None:
        tries.append(1)
        raise StoreBusy("busy")

    with spending(clock.budget(10)), pytest.raises(StoreBusy, match=r"^busy; tried \d+ times in 10 s[^;]*$"):
        retry(lambda: retry(inner))
    assert len(tries) == len(clock.pauses) + 1


def test_no_seconds_is_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retrying.VARIABLE, "0")
    with pytest.raises(StoreBusy, match=r"^busy$"):
        retry(failing(1, StoreBusy("busy")))


@pytest.mark.parametrize(("text", "seconds"), [("", retrying.LAPTOP_SECONDS), ("600", 600.0)])
def test_each_step_has_what_the_environment_says(
    text: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(retrying.VARIABLE, text)
    budgets: list[Budget] = []
    look = step(lambda: budgets.extend([retrying.current_budget(), retrying.current_budget()]))
    look()
    look()
    assert [budget.left for budget in budgets] == [seconds] * 4
    assert budgets[0] is budgets[1] is not budgets[2] is budgets[3]
    assert retrying.current_budget() is not retrying.current_budget()
    assert Budget.from_environment(at_most=5).seconds == 5


@pytest.mark.parametrize("text", ["ten", "-1", "1.5"])
def test_seconds_that_are_none_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retrying.VARIABLE, text)
    with pytest.raises(ConfigError, match=f"KUBECAST_RETRY_SECONDS '{text}'; allowed: a whole number"):
        Budget.from_environment()
