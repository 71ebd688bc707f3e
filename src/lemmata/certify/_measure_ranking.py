"""Does a measure order models as their generalization gaps do?

Source: Jiang, Neyshabur, Mobahi, Krishnan, Bengio, ICLR 2020 (arXiv 1912.02178),
section 3: Kendall's coefficient and its granulated form.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core import InvalidArgument


class MeasureRanking(NamedTuple):
    """How well a measure orders models, in [-1, 1]; NaN where nothing can be compared.

    - `overall`: Kendall's coefficient over all pairs of models.
    - `by_setting`: mean coefficient over groups in which this setting alone varies.
    - `granulated`: the mean of those.
    """

    overall: float
    by_setting: dict[str, float]
    granulated: float


def measure_ranking(
    values: Any, gaps: Any, settings: Mapping[str, Sequence[Any]]
) -> MeasureRanking:
    """Compares a measure with the generalization gaps of trained models.

    **Arguments:**

    - `values`: of the measure, (m,); `gaps`: test less training error, (m,).
    - `settings`: hyper-parameter by name, one entry for each model.

    **Raises:** `InvalidArgument`.
    """
    one, two = (np.asarray(a, dtype=np.float64) for a in (values, gaps))
    for name, array in (("values", one), ("gaps", two)):
        good = array.shape == (len(two),) and len(array) > 1
        if not good or not np.all(np.isfinite(array)):
            expected = "finite numbers, one for each of several models"
            raise InvalidArgument(f"measure_ranking.{name}", expected, array.shape)
    keys = {name: np.asarray(column) for name, column in settings.items()}
    for name, column in keys.items():
        if column.shape != two.shape:
            where = f"measure_ranking.settings[{name!r}]"
            raise InvalidArgument(where, f"{len(two)} entries", column.shape)
    by_setting = {name: _alone(one, two, keys, name) for name in keys}
    known = [tau for tau in by_setting.values() if np.isfinite(tau)]
    mean = float(np.mean(known)) if known else np.nan
    return MeasureRanking(kendall(one, two), by_setting, mean)


def _alone(
    values: np.ndarray, gaps: np.ndarray, keys: Mapping[str, np.ndarray], name: str
) -> float:
    """Mean over groups of models that differ in one setting."""
    others = [column for other, column in keys.items() if other != name]
    groups: dict[tuple[str, ...], list[int]] = {}
    for i in range(len(values)):
        groups.setdefault(tuple(str(c[i]) for c in others), []).append(i)
    found = [kendall(values[g], gaps[g]) for g in groups.values() if len(g) > 1]
    known = [tau for tau in found if np.isfinite(tau)]
    return float(np.mean(known)) if known else np.nan


def kendall(one: np.ndarray, two: np.ndarray) -> float:
    """Mean of sign(a_i - a_j) sign(b_i - b_j) over pairs that differ in both."""
    i, j = np.triu_indices(len(one), 1)
    signs = np.sign(one[i] - one[j]) * np.sign(two[i] - two[j])
    signs = signs[signs != 0]
    return float(np.mean(signs)) if signs.size else np.nan
