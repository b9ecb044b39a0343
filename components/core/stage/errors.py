"""Errors a stage ends with, each with the exit code that tells an orchestrator whether a retry can help.

Exit codes 64-78 (after BSD sysexits.h) are permanent: the same input fails again. Anything else is transient.
"""

from __future__ import annotations

import errno

from pydantic import ValidationError

PERMANENT_EXIT_CODES = range(64, 79)


class StageError(Exception):
    """Transient failure: a retry may succeed. The message says what happened and what to do."""

    exit_code = 1


class DataError(StageError):
    """The input's content is unusable (wrong schema, failed checksum, nothing left after filtering)."""

    exit_code = 65


class NoInputError(StageError):
    """A named input does not exist or is empty."""

    exit_code = 66


class EndpointError(StageError):
    """A model endpoint cannot be used as configured: unreachable, unknown model, rejected credentials."""

    exit_code = 69


class BudgetError(StageError):
    """A budget is used up. Paid answers are kept; with a larger budget the same command goes on."""

    exit_code = 77


class ConfigError(StageError):
    """A setting is unknown, of the wrong type or inconsistent."""

    exit_code = 78


_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}


def faults(error: ValidationError) -> str:
    """The first faults of a validation on one line: where, and what is wrong."""
    found = error.errors(include_input=False, include_url=False)[:5]
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)


def file_error(error: OSError) -> StageError:
    """What an error of the file system means: a wrong path (66), missing rights (78), or passing trouble."""
    where = f"{error.filename}: " if error.filename else ""
    what = f"{where}{error.strerror or error}"
    if error.errno in _NOT_THERE:
        return NoInputError(f"{what}; check the path")
    if error.errno in _NOT_ALLOWED:
        return ConfigError(f"{what}; check its owner and rights, and whether it is mounted to be written")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StageError(f"{what}; free space, and run the same command again: nothing is lost")
    return StageError(f"{type(error).__name__}: {what}")
