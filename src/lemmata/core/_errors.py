"""Every error lemmata raises, in one small tree.

LemmataError
├── InvalidInput (ValueError)      names where, what was expected, what came
│   ├── InvalidProblem
│   ├── InvalidMethod
│   ├── InvalidArgument
│   └── CheckpointMismatch
├── UnreadableFile (OSError)       missing, damaged or not what its name says
├── TooLarge (MemoryError)         a dense array that should not be made
├── Undisclosable (PermissionError) a certificate would carry a secret
├── NotConverged (RuntimeError)    carries the solution
└── NotCertified (RuntimeError)    carries the solution
"""

from typing import Any


class LemmataError(Exception):
    """Anything that lemmata raises on purpose."""


class InvalidInput(LemmataError, ValueError):
    """Something handed in does not fit: `where`, `expected`, `got`."""

    def __init__(self, where: str, expected: str, got: Any):
        self.where, self.expected, self.got = where, expected, got
        super().__init__(f"{where}: expected {expected}, got {got}.")

    def __reduce__(self):
        return type(self), (self.where, self.expected, self.got)


class InvalidProblem(InvalidInput):
    """A field of a problem does not fit."""


class InvalidMethod(InvalidInput):
    """An option of a method does not fit."""


class InvalidArgument(InvalidInput):
    """An argument of a function does not fit."""


class CheckpointMismatch(InvalidInput):
    """A checkpoint belongs to another problem, method, key, version or machine."""


class UnreadableFile(LemmataError, OSError):
    """A file is missing, damaged, too large or of another kind; says what to do."""


class TooLarge(LemmataError, MemoryError):
    """A dense array was asked for where only a view is affordable."""


class Undisclosable(LemmataError, PermissionError):
    """A certificate would carry data that its problem does not disclose."""


class NotConverged(LemmataError, RuntimeError):
    """A run stopped before its method was done; `.solution` holds what there is."""

    def __init__(self, message: str, solution: Any):
        self.solution = solution
        super().__init__(message)


class NotCertified(LemmataError, RuntimeError):
    """A claim was refused by the checker; `.solution` holds answer and certificate."""

    def __init__(self, message: str, solution: Any):
        self.solution = solution
        super().__init__(message)
