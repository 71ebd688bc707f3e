"""What does not apply to which system, and why. Nothing is exempted in silence."""

import pytest

EXEMPT: dict[tuple[str, str], str] = {}
"""`(slug, check)` to the reason; `check` is the test's name without `test_`."""


def skip_if_exempt(slug: str, check: str) -> None:
    """Skips, with the reason, what the table exempts."""
    if reason := EXEMPT.get((slug, check)):
        pytest.skip(reason)
