"""Cron expressions in a time zone, for a Kubeflow that evaluates all of them in one.

Kubeflow Pipelines 2.17 parses with robfig/cron 1.2, which knows six fields, seconds first, and no `TZ=`. The
zone is the installation's: `cronScheduleTimezone` in its ConfigMap pipeline-install-config, UTC unless it was
changed. The API does not tell.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from components.core.stage.errors import ConfigError

_DAY_MINUTES = 24 * 60
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_EVERY = ("*", "?")


def in_kubeflow_zone(cron: str, zone: str, kubeflow_zone: str, now: datetime | None = None) -> str:
    """The expression that means in Kubeflow's zone what `cron` means in `zone`.

    Raises:
        ConfigError: not six fields, an unknown zone, or no one expression says it. The zones may drift apart
            (summer time), or days and hours may have to change together.
    """
    fields = cron.split()
    if cron.startswith("@") or len(fields) != 6:
        wanted = "write it as six fields" if cron.startswith("@") else "expected six fields, seconds first"
        raise ConfigError(f"--cron '{cron}': {wanted}, e.g. 0 0 1 * * *")
    if zone == kubeflow_zone:
        return cron
    shift = _shift_minutes(zone, kubeflow_zone, now or datetime.now(UTC))
    return cron if shift == 0 else _shifted(fields, shift)


def _shift_minutes(zone: str, kubeflow_zone: str, now: datetime) -> int:
    """By how many minutes Kubeflow's clocks are ahead of the zone's, in the coming two years."""
    ours, theirs = _zone("--timezone", zone), _zone("--kubeflow-timezone", kubeflow_zone)
    moments = (now + timedelta(hours=hours) for hours in range(0, 2 * 366 * 24, 12))
    shifts = {_offset_minutes(theirs, moment) - _offset_minutes(ours, moment) for moment in moments}
    if len(shifts) > 1:
        raise ConfigError(
            f"Kubeflow runs schedules by the clocks of {kubeflow_zone}, and {zone} is not always equally far "
            f"from it (summer time): set cronScheduleTimezone to {zone} in Kubeflow's ConfigMap "
            f"pipeline-install-config and say --kubeflow-timezone {zone}, or give the hour in "
            f"{kubeflow_zone} with --timezone {kubeflow_zone}"
        )
    return shifts.pop()


def _offset_minutes(zone: ZoneInfo, moment: datetime) -> int:
    return (moment.astimezone(zone).utcoffset() or timedelta()) // timedelta(minutes=1)


def _zone(option: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"{option} {name}: no such time zone; e.g. Europe/Berlin or Etc/UTC") from error


def _shifted(fields: list[str], shift: int) -> str:
    second, minute, hour, day, month, weekday = fields
    times = [h * 60 + m + shift for h, m in itertools.product(_numbers(hour, 0, 23), _numbers(minute, 0, 59))]
    minutes, hours = sorted({t % 60 for t in times}), sorted({t % _DAY_MINUTES // 60 for t in times})
    carries = {t // _DAY_MINUTES for t in times}
    if len(minutes) * len(hours) != len(times):
        raise _inexpressible(fields)
    if carries != {0}:
        if day not in _EVERY or month not in _EVERY or (len(carries) > 1 and weekday not in _EVERY):
            raise _inexpressible(fields)
        if weekday not in _EVERY:
            (carry,) = carries
            days = {(number + carry) % 7 for number in _numbers(weekday, 0, 6, _WEEKDAYS)}
            weekday = ",".join(map(str, sorted(days)))
    minutes_text = "*" if len(minutes) == 60 else ",".join(map(str, minutes))
    hours_text = "*" if len(hours) == 24 else ",".join(map(str, hours))
    return " ".join((second, minutes_text, hours_text, day, month, weekday))


def _inexpressible(fields: list[str]) -> ConfigError:
    return ConfigError(
        f"--cron '{' '.join(fields)}' cannot be said in Kubeflow's zone as one expression: give it in that "
        "zone, with --timezone of the same name, or make two schedules"
    )


def _numbers(field: str, low: int, high: int, names: tuple[str, ...] = ()) -> set[int]:
    """The numbers that a field of a cron expression stands for: *, a, a-b, with /step, joined by commas."""
    found: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            if span in _EVERY:
                start, end = low, high
            else:
                start = names.index(first) if first in names else int(first)
                end = names.index(last) if last in names else int(last) if dash else high if step else start
            numbers = set(range(start, end + 1, int(step or 1)))
        except ValueError as error:
            raise ConfigError(f"--cron: '{field}' is no field of a cron expression") from error
        if not numbers or min(numbers) < low or max(numbers) > high:
            raise ConfigError(f"--cron: '{field}' is not within {low}-{high}")
        found |= numbers
    return found
