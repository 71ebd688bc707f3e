"""The report's own error: this package must not import the core, which imports JAX."""


class ReportError(Exception):
    """The report cannot be written; the message says what to do."""


class Unreadable(ReportError):
    """A file of a study or benchmark is not as it should be: where, expected, got."""
