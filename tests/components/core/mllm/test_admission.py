from __future__ import annotations

import asyncio
import time

import pytest

from components.core.mllm.admission import MAX_PAUSE_S, Admission, Stopped
from components.core.mllm.transport import retry_after_s
from components.core.mllm.usage import Usage
from components.core.stage.errors import BudgetError, StageError


def admission(most=8, budget=0):
    return Admission("endpoint", most, budget)


def test_a_burst_of_refusals_halves_once_and_successes_add_one_per_window():
    window = admission(8)
    began = time.monotonic()
    assert window.overloaded(began)
    assert not any(window.overloaded(began) for _ in range(7))  # all of them began before the decrease
    assert window.window == 4
    later = time.monotonic() + 1
    for _ in range(4):
        window.succeeded(later)
    # 4 + 1/4 + 1/4.25 + ...: just below one more for a window's worth of successes
    assert window.window == pytest.approx(4.93, abs=0.01)
    for _ in range(100):
        window.succeeded(later)
    assert window.window == 8


def test_the_window_never_falls_below_one():
    window = admission(8)
    for step in range(10):
        window.overloaded(time.monotonic() + step)
    assert window.window == 1


def test_a_success_from_before_the_decrease_does_not_count():
    window = admission(8)
    early = time.monotonic() - 1
    window.overloaded(time.monotonic())
    window.succeeded(early)
    assert window.window == 4


def most_at_once(window: Admission, tasks: int, hold_s: float = 0.005) -> int:
    most = under_way = 0

    async def work():
        nonlocal most, under_way
        async with window.attempt():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(hold_s)
            under_way -= 1

    async def main():
        window.begin()
        await asyncio.gather(*(work() for _ in range(tasks)))

    asyncio.run(main())
    return most


def test_no_more_than_the_window_are_under_way_over_several_event_loops():
    window = admission(5)
    assert most_at_once(window, 20) == 5
    window.overloaded(time.monotonic())
    assert most_at_once(window, 20) == 2


def test_a_pause_holds_every_attempt():
    async def main():
        window = admission()
        window.begin()
        window.pause(0.15)
        started = time.monotonic()

        async def one():
            async with window.attempt() as began:
                return began - started

        return await asyncio.gather(*(one() for _ in range(4)))

    assert min(asyncio.run(main())) >= 0.14


def test_a_longer_pause_than_a_process_should_sleep_ends_the_stage():
    window = admission()
    window.pause(MAX_PAUSE_S + 1)
    assert isinstance(window.stop_reason, StageError)
    assert "601 s" in str(window.stop_reason)


def test_a_spent_budget_stops_what_waits_and_lets_what_runs_finish():
    async def main():
        window = admission(most=1, budget=10)
        window.begin()
        done = []

        async def one(name):
            async with window.attempt():
                await asyncio.sleep(0.01)
                window.spend(10)
                done.append(name)

        results = await asyncio.gather(one("a"), one("b"), return_exceptions=True)
        return window, done, results

    window, done, results = asyncio.run(main())
    assert done == ["a"]
    assert isinstance(results[1], Stopped)
    assert isinstance(window.stop_reason, BudgetError)


def test_a_stop_wakes_a_sleeper():
    async def main():
        window = admission()
        window.begin()
        sleeper = asyncio.create_task(window.sleep(60))
        await asyncio.sleep(0.01)
        window.stop(StageError("enough"))
        await asyncio.wait_for(sleeper, 1)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "-3"}, 0.0),
        # RFC 9110 dates; the reply's own clock decides
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:49 GMT"}, 10.0),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_usage_sums_and_names_its_metrics():
    one, two = Usage(requests=3, prompt_tokens=30), Usage(requests=1, replayed=2, failures=1)
    one.retries.update(timeout=2)
    two.retries.update(timeout=1, rate_limited=1)
    one.latencies_s.extend([1.0, 2.0, 3.0])
    two.latencies_s.append(4.0)
    metrics = Usage.total([one, two]).metrics("teacher")
    assert metrics == {
        "teacher_requests": 4,
        "teacher_replayed": 2,
        "teacher_failures": 1,
        "teacher_retries": 4,
        "teacher_retries_rate_limited": 1,
        "teacher_retries_timeout": 3,
        "teacher_prompt_tokens": 30,
        "teacher_completion_tokens": 0,
        "teacher_latency_p50_s": 2.5,
        "teacher_latency_p95_s": 3.85,
    }
    assert "teacher_latency_p50_s" not in Usage().metrics("teacher")
