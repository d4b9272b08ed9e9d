"""Exceptions of the package: each is also the built-in exception that its users expect."""

from __future__ import annotations

__all__ = ["DamagedFileError", "JournalError", "TrainingError", "UnsaveableError", "UntrustedFileError"]


class DamagedFileError(ValueError):
    """A saved file does not hold what was written to it."""


class JournalError(ValueError):
    """A journal is damaged, was changed by another program, or is no journal of this package.

    The message names the file and what to do; the file is left as it is.
    """


class TrainingError(RuntimeError):
    """A model could not be trained: its training diverged, or it failed on answers that are recorded.

    Answers are kept in either case.
    """


class UnsaveableError(ValueError):
    """An object cannot be written without pickle."""


class UntrustedFileError(ValueError):
    """A saved file names types that are not on the list of those that may be made from a file."""
