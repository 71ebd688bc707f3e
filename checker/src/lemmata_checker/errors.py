"""What can go wrong: one small tree in one file.

```
CheckerError
├── Unreadable   a file (certificate or data) that cannot be used; exit code 2
├── BadRequest   a requirement or a piece of problem that fits nothing; exit code 2
└── Malformed    data that a rule cannot judge: its claim does not hold
```
"""


class CheckerError(Exception):
    """Every error that this package raises on purpose."""


class Unreadable(CheckerError):
    """A file that is not what it should be; the sentence says what to do."""


class BadRequest(CheckerError):
    """The caller asked for something that this certificate has no place for."""


class Malformed(CheckerError):
    """A rule's input has a wrong shape or dtype, or is missing.

    The claim does not hold; the sentence is shown as the reason.
    """
