"""Errors that a person can act on: one sentence, the place, the way out."""

from __future__ import annotations


class CrossmarketError(Exception):
    """Base of every error that the command line prints as one sentence.

    Attributes
    ----------
    exit_code : int
        What the command line exits with: 1 for bad data or a failed check, 2 for wrong usage.
    """

    exit_code = 1


class DataError(CrossmarketError):
    """The data cannot be used as they are."""


class LeakError(CrossmarketError):
    """Held-out interactions were found where a model may look."""


class UsageError(CrossmarketError):
    """The request itself is wrong: an unknown name, a value out of range, a missing folder."""

    exit_code = 2
