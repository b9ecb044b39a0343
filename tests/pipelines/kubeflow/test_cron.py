"""Cron expressions moved into the zone by whose clocks Kubeflow goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.stage.errors import ConfigError
from pipelines.kubeflow.cron import _numbers, in_kubeflow_zone

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "kubeflow_zone", "expected"),
    [
        ("0 0 1 * * *", "UTC", "UTC", "0 0 1 * * *"),
        ("0 0 1 * * *", "Europe/Berlin", "Europe/Berlin", "0 0 1 * * *"),
        ("0 0 1 * * *", "Etc/UTC", "UTC", "0 0 1 * * *"),
        ("0 0 1 * * *", "Europe/Paris", "Europe/Berlin", "0 0 1 * * *"),  # the same clocks
        ("0 30 10 * * *", "Asia/Tokyo", "UTC", "0 30 1 * * *"),  # nine hours ahead
        ("0 30 1 * * *", "Asia/Tokyo", "UTC", "0 30 16 * * *"),  # of the day before
        ("0 30 1 * * mon-fri", "Asia/Tokyo", "UTC", "0 30 16 * * 0,1,2,3,4"),
        ("0 0 2 * * 0", "Asia/Tokyo", "UTC", "0 0 17 * * 6"),
        ("0 0 6 * * *", "Asia/Kolkata", "UTC", "0 30 0 * * *"),  # five and a half hours
        ("0 0 * * * *", "Asia/Kolkata", "UTC", "0 30 * * * *"),
        ("0 */15 * * * *", "Asia/Tokyo", "UTC", "0 0,15,30,45 * * * *"),
        ("0 0 12 1 * *", "Asia/Tokyo", "UTC", "0 0 3 1 * *"),  # the day stays
        ("0 0 22 * * *", "Etc/UTC", "Asia/Tokyo", "0 0 7 * * *"),
    ],
)
def test_the_same_moment_in_the_other_zone(cron, zone, kubeflow_zone, expected):
    assert in_kubeflow_zone(cron, zone, kubeflow_zone, NOW) == expected


@pytest.mark.parametrize(
    ("cron", "zone", "message"),
    [
        ("0 0 1 * * *", "Europe/Berlin", "cronScheduleTimezone to Europe/Berlin"),
        ("0 0 1 1 * *", "Asia/Tokyo", "cannot be said"),  # the first of a month would be a last
        ("0 0 1,12 * * 1", "Asia/Tokyo", "cannot be said"),  # Sunday and Monday
        ("0 0,20 1 * * *", "Asia/Kolkata", "0 30,50 19"),
        ("0 0,40 1 * * *", "Asia/Kolkata", "cannot be said"),  # 19:30 and 20:10
        ("0 1 * * *", "UTC", "six fields"),
        ("@daily", "UTC", "six fields"),
        ("TZ=UTC 0 0 1 * * *", "UTC", "six fields"),
        ("0 0 25 * * *", "Asia/Tokyo", "not within 0-23"),
        ("0 0 noon * * *", "Asia/Tokyo", "no field of a cron expression"),
        ("0 0 1 * * *", "Europe/Bonn", "no such time zone"),
    ],
)
def test_what_cannot_be_said_is_an_error(cron, zone, message):
    if message.startswith("0 "):
        assert in_kubeflow_zone(cron, zone, "UTC", NOW).startswith(message)
        return
    with pytest.raises(ConfigError) as caught:
        in_kubeflow_zone(cron, zone, "UTC", NOW)
    assert message in str(caught.value)


def moments(cron: str, zone: str) -> set[datetime]:
    """Every minute of one week in UTC at which an expression is due, by the clocks of a zone."""
    _, minute, hour, _, _, weekday = cron.split()
    wanted = (_numbers(minute, 0, 59), _numbers(hour, 0, 23), _numbers(weekday, 0, 6))
    week = (NOW + timedelta(minutes=n) for n in range(7 * 24 * 60))
    local = ((moment, moment.astimezone(ZoneInfo(zone))) for moment in week)
    return {
        moment
        for moment, clock in local
        if (clock.minute, clock.hour) in {(m, h) for m in wanted[0] for h in wanted[1]}
        and (clock.weekday() + 1) % 7 in wanted[2]
    }


fields = st.sets(st.integers(0, 23), min_size=1, max_size=3).map(lambda s: ",".join(map(str, sorted(s))))


@settings(deadline=None, max_examples=15)
@given(
    hours=fields | st.just("*"),
    minute=st.integers(0, 59),
    weekday=st.sampled_from(["*", "1", "0,6", "1-5"]),
    zone=st.sampled_from(["Asia/Tokyo", "Asia/Kolkata", "America/Phoenix"]),
)
def test_what_can_be_said_means_the_same_moments(hours, minute, weekday, zone):
    cron = f"0 {minute} {hours} * * {weekday}"
    try:
        moved = in_kubeflow_zone(cron, zone, "UTC", NOW)
    except ConfigError:
        return
    assert moments(moved, "UTC") == moments(cron, zone)
