"""What a long run tells on stderr: a live line, or plain lines where none can be."""

import sys
from collections.abc import Callable
from typing import Any

QUIET_SECONDS = 2.0


def of_run(wanted: bool | None) -> bool | Callable[[Any], None] | None:
    """The `progress` argument of `lemmata.solve`.

    `wanted`: True or False as asked for; None means: if someone is watching.
    """
    watched = sys.stderr.isatty()
    if wanted is False or (wanted is None and not watched):
        return None
    return True if watched else _plain_lines()


def _plain_lines() -> Callable[[Any], None]:
    last = -QUIET_SECONDS

    def report(event: Any) -> None:
        nonlocal last
        if event.seconds - last < QUIET_SECONDS:
            return
        last = event.seconds
        figures = "  ".join(f"{name} {v:.3g}" for name, v in event.observed.items())
        line = f"{event.method}  {event.steps} steps  {event.seconds:.1f} s  {figures}"
        print(line.rstrip(), file=sys.stderr, flush=True)

    return report
