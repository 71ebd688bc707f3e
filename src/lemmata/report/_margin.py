"""The margin: how far a measured figure is from the promise, in powers of ten.

All claims share one scale, whatever their unit and relation: the promise is a line,
the bar to its right is room to spare, the bar to its left is a broken promise.
"""

import math
from dataclasses import dataclass

from ._format import plain, power
from ._study import Claim

BROKEN, SPARE = 2.0, 10.0  # decades drawn on either side of the promise
LINE = 100 * BROKEN / (BROKEN + SPARE)  # where the promise stands, per cent
TICKS = (2, 4, 6, 8)


@dataclass(frozen=True)
class Margin:
    """What the strip shows: `at` in per cent of its width, `None` where it has none.

    `beyond` says that the figure lies outside the drawn range (exactly 0, say).
    """

    words: str
    at: float | None = None
    beyond: bool = False

    @property
    def left(self) -> float:
        """Left end of the bar, per cent."""
        return min(LINE, self.at if self.at is not None else LINE)

    @property
    def width(self) -> float:
        """Length of the bar, per cent."""
        return abs((self.at if self.at is not None else LINE) - LINE)


def position(decades: float) -> float:
    """Where `decades` of room stand, per cent of the width."""
    return 100 * (BROKEN + decades) / (BROKEN + SPARE)


def ticks() -> list[tuple[float, str]]:
    """The labelled positions to the right of the promise."""
    return [(round(position(tick), 2), power(tick)) for tick in TICKS]


def margin(claim: Claim) -> Margin:
    """The margin of a decided claim."""
    promised, measured = claim.promised, claim.measured
    if promised is None or measured is None or math.isnan(promised + measured):
        return Margin("no finite figure was found")
    if not math.isfinite(promised):
        return Margin("the promised figure is not finite: the claim cannot hold")
    inside = measured <= promised if claim.relation == "<=" else measured >= promised
    room = _decades(promised, measured, claim.relation)
    if room is None:
        return Margin(_difference(promised, measured))
    beyond = not -BROKEN <= room <= SPARE
    at = position(min(max(room, -BROKEN), SPARE))
    words = _words(promised, measured)
    if inside and not claim.holds:
        words += "; an assumption is violated"
    return Margin(words, round(at, 2), beyond)


def _decades(promised: float, measured: float, relation: str) -> float | None:
    """log10 of the room to spare; `None` where the signs allow no ratio."""
    if measured == promised:
        return 0.0
    if promised == 0:
        return None
    smaller_is_better = (relation == "<=") == (promised > 0)
    if measured == 0:
        return math.inf if smaller_is_better else -math.inf
    if (measured > 0) != (promised > 0):
        return None
    if math.isinf(measured):
        return -math.inf if smaller_is_better else math.inf
    room = math.log10(abs(promised)) - math.log10(abs(measured))
    return room if smaller_is_better else -room


def _words(promised: float, measured: float) -> str:
    if measured == promised:
        return "exactly the promised figure"
    if measured == 0:
        return "exactly zero"
    if math.isinf(measured):
        return "no finite bound was found"
    side = "smaller" if measured < promised else "larger"
    ratio = abs(measured / promised)
    ratio = ratio if ratio >= 1 else 1 / ratio if ratio else math.inf
    if ratio < 1.1:
        return f"{plain(float(f'{100 * (ratio - 1):.2g}'))} % {side} than promised"
    return f"{plain(float(f'{ratio:.2g}'))} times {side} than promised"


def _difference(promised: float, measured: float) -> str:
    side = "above" if measured > promised else "below"
    return f"{plain(abs(measured - promised), 2)} {side} the promise"
