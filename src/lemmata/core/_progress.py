"""What a long run tells while it goes on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ._errors import InvalidArgument


@dataclass(frozen=True)
class ProgressEvent:
    """One report: steps taken so far, seconds since the start, last observation."""

    method: str
    steps: int
    seconds: float
    observed: Mapping[str, float]


ProgressListener = Callable[[ProgressEvent], None]


@contextmanager
def listener(progress: bool | ProgressListener | None) -> Iterator[ProgressListener]:
    """A function to call with events: none, a line on stderr, or the user's own."""
    if progress is None or progress is False:
        yield lambda event: None
    elif progress is True:
        with _status_line() as report:
            yield report
    elif callable(progress):
        yield progress
    else:
        expected = "None, a boolean or a function of a ProgressEvent"
        raise InvalidArgument("solve.progress", expected, repr(progress))


@contextmanager
def _status_line() -> Iterator[ProgressListener]:
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:

        def report(event: ProgressEvent) -> None:
            figures = "  ".join(f"{k} {v:.3g}" for k, v in event.observed.items())
            status.update(
                f"{event.method}  {event.steps} steps  {event.seconds:.1f} s  {figures}"
            )

        yield report
