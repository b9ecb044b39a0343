"""Logging and progress bars: lines for a person on a terminal, one JSON object a line in a container."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any, Self

from tqdm import tqdm

from components.core.stage.secrets import hide

_STANDARD = set(vars(logging.makeLogRecord({})))
_EVENT_EVERY_S = 30.0


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """The values that a caller passed as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "stage": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return hide(json.dumps(event, default=str, ensure_ascii=False))


class _HumanFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        text = f"[{record.name}] {level}{record.getMessage()}" + (f" ({extra})" if extra else "")
        return hide(f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text)


class _StderrHandler(logging.StreamHandler[Any]):
    """Writes to what `sys.stderr` is at the time of the event, so that redirection after start-up works."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def log_format() -> str:
    """`json` or `human`: from `VLM_LOG_FORMAT`, else JSON inside Kubernetes and human elsewhere."""
    default = "json" if "KUBERNETES_SERVICE_HOST" in os.environ else "human"
    return os.environ.get("VLM_LOG_FORMAT") or default


def get_logger(stage: str) -> logging.Logger:
    """The stage's logger, writing to standard error."""
    logger = logging.getLogger(stage)
    if not logger.handlers:
        handler = _StderrHandler()
        handler.setFormatter(_JsonFormatter() if log_format() == "json" else _HumanFormatter())
        logger.addHandler(handler)
        # Of several processes of a stage, the first one speaks for all.
        logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING)
        logger.propagate = False
    return logger


class ProgressBar:
    """A tqdm bar on a terminal; in JSON logs one event every 30 seconds instead."""

    def __init__(self, total: int | None, desc: str, logger: logging.Logger) -> None:
        self._logger, self._desc, self._total = logger, desc, total
        self._done, self._last = 0, time.monotonic()
        self._bar: tqdm[Any] | None = None
        if log_format() == "human" and logger.isEnabledFor(logging.INFO):
            title = f"[{logger.name}] {desc}"
            self._bar = tqdm(total=total, desc=title, mininterval=1.0, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int = 1, **shown: Any) -> None:
        """Advance by `count`; `shown` are values to display beside the bar."""
        self._done += count
        if self._bar is not None:
            if shown:
                self._bar.set_postfix(shown, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last > _EVENT_EVERY_S:
            self._last = time.monotonic()
            self._logger.info(self._desc, extra={"done": self._done, "total": self._total, **shown})
