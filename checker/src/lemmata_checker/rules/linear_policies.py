"""Rules of relaxation policies: the log of a run, and what it cost beside others.

Source: Zimmert and Seldin, JMLR 22 (2021), theorem 1; Khodak et al., ICLR 2024 (arXiv
2310.02246), theorem 2.1 and section 3.2.
"""

import math
from collections.abc import Mapping

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import U, gamma, two_product, two_sum
from ..sparse import real

STREAMS = ("linear.sequence/1", "linear.shifted_sequence/1", "linear.heat_equation/1")
TABLE = "linear.relaxation_table/1"
_FLOATS = ("losses", "probabilities", "draws", "normalisers")


def ftrl_trace(case: Case) -> Measurement:
    """Largest deviation over rounds: sum of weights, logged probability, drawn arm."""
    log = _Log(case)
    worst, where = 0.0, -1
    for index in range(log.rounds):
        found = log.deviation(index)
        if not found <= worst:
            worst, where = found, index
        log.learn(index)
    for group in range(log.last.size):
        _, total, error = log.weights(group, log.last[group])
        found = abs(total - 1) + error
        if not found <= worst:
            worst, where = found, log.rounds
    detail = f"{log.rounds} rounds; the largest deviation is in round {where}"
    return Measurement(worst, detail, {"rounds": float(log.rounds)})


class _Log:
    """The logged run, replayed: sums as pairs of floats, in one pass."""

    def __init__(self, case: Case) -> None:
        count, scale = case.parameters.get("count"), case.parameters.get("scale")
        if not isinstance(count, int) or isinstance(count, bool):
            raise Malformed("count is no integer")
        if not 1 <= count <= 10**6:
            raise Malformed("count is no number of arms")
        if scale is not None and not (isinstance(scale, int | float) and scale > 0):
            raise Malformed("scale is neither null nor positive")
        given = case.witness
        columns = {name: real(given.get(name), name, 1) for name in _FLOATS}
        self.arms, self.groups = (_whole(given, name) for name in ("arms", "groups"))
        self.last = real(given.get("last_normalisers"), "last_normalisers", 1)
        self.rounds = self.arms.size
        sizes = {a.size for a in (*columns.values(), self.arms, self.groups)}
        if sizes != {self.rounds} or not self.rounds or not self.last.size:
            raise Malformed("the log's columns have different lengths, or none")
        for array, most in ((self.arms, count), (self.groups, self.last.size)):
            if array.min() < 0 or array.max() >= most:
                raise Malformed("an arm or a group does not exist")
        self.losses, self.probabilities, self.draws, self.x = columns.values()
        legal = (self.losses >= -1) & (self.losses == np.floor(self.losses))
        if not np.all(legal & (self.losses < 2.0**40)):
            raise Malformed("a loss is no count of iterations")
        if not np.all((self.probabilities > 0) & (self.probabilities <= 1)):
            raise Malformed("a probability is not in (0, 1]")
        if not np.all((self.draws >= 0) & (self.draws < 1)):
            raise Malformed("a draw is not in [0, 1)")
        self.scale = None if scale is None else float(scale)
        self.high = np.zeros((self.last.size, count))
        self.low = np.zeros_like(self.high)
        self.totals, self.played = np.zeros(self.last.size), np.zeros(self.last.size)

    def weights(self, group: int, x: float) -> tuple[np.ndarray, float, float]:
        """w_i = n / (S_i / K - x)^2 in the group's round n, their sum, its error.

        eta = 2 / sqrt(n), so 4 / (eta z)^2 = n / z^2. S / K errs by 3u (a mean K by one
        of them) and the low parts by (T u)^2; z by one more u of both terms.
        """
        total = self.totals[group]
        scale = self.scale
        if scale is None:
            scale = total / self.played[group] if total > 0 else 1.0
        scaled = (self.high[group] + self.low[group]) / scale
        z = scaled - x
        if not np.all(z > 0):
            raise Malformed("a normaliser is not below every scaled sum")
        off = (6 * U + 8 * (self.rounds * U) ** 2) * (np.abs(scaled) + abs(x))
        share = off / z
        if not np.max(share) < 1e-3:
            return z, math.inf, math.inf
        w = (self.played[group] + 1) / (z * z)
        error = np.sum(w * (2.1 * share + 4 * U)) + gamma(w.size) * np.sum(w)
        return w, float(np.sum(w)), float(error) * (1 + 1e-9)

    def deviation(self, index: int) -> float:
        """Of one round, rounding included."""
        arm = self.arms[index]
        w, total, error = self.weights(self.groups[index], self.x[index])
        if not math.isfinite(total):
            return math.inf
        summed = np.concatenate([[0.0], np.cumsum(w)]) / total
        draw, loose = self.draws[index], 2 * error / total + gamma(w.size)
        missed = max(summed[arm] - draw, draw - summed[arm + 1], 0.0)
        share = w[arm] / total
        # The relative error of one weight is that of z, twice, as in `weights`.
        stated = abs(share / self.probabilities[index] - 1)
        sure = self._relative(index, arm) + 2 * error / total
        return max(abs(total - 1) + error, stated + sure, missed + loose * (missed > 0))

    def _relative(self, index: int, arm: int) -> float:
        group, x = self.groups[index], self.x[index]
        total = self.totals[group]
        scale = self.scale
        if scale is None:
            scale = total / self.played[group] if total > 0 else 1.0
        scaled = self.high[group, arm] / scale
        off = 6 * U * (abs(scaled) + abs(x)) / (scaled - x)
        return 2.2 * off + 8 * U

    def learn(self, index: int) -> None:
        """S += loss / p, exactly up to the square of rounding."""
        loss, p = self.losses[index], self.probabilities[index]
        if loss < 0:
            return
        at = (self.groups[index], self.arms[index])
        quotient = loss / p
        product, rest = two_product(quotient, p)
        remainder = ((loss - product) - rest) / p
        self.high[at], carried = two_sum(self.high[at], quotient)
        self.low[at] += carried + remainder
        self.totals[at[0]] += loss
        self.played[at[0]] += 1


def _whole(arrays: Mapping[str, np.ndarray], name: str, ndim: int = 1) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.dtype != np.int64 or array.ndim != ndim:
        raise Malformed(f"{name} is missing, or no int64 array of {ndim} axes")
    return array


class _Plays:
    """A table of costs (T, d) and sequences of arms (R, T) played on it."""

    def __init__(self, case: Case) -> None:
        if case.problem.kind != TABLE:
            raise Malformed(f"no table of costs: {case.problem.kind}")
        arrays = case.problem.arrays
        counts = _whole(arrays, "counts", 2)
        arms = _whole(case.value, "arms", 2)
        self.relaxation = real(arrays.get("relaxation"), "relaxation", 1)
        steps, count = counts.shape
        if not counts.size or self.relaxation.size != count or counts.min() < 0:
            raise Malformed("the table of costs has a wrong shape, or negative entries")
        if counts.max() >= 2**40 or not arms.size or arms.shape[1] != steps:
            raise Malformed(f"arms of shape {arms.shape} for a table {counts.shape}")
        if arms.min() < 0 or arms.max() >= count:
            raise Malformed("an arm does not exist")
        self.counts, self.arms = counts, arms
        self.cost = np.take_along_axis(counts[None], arms[:, :, None], axis=2)[..., 0]
        self.losses = np.maximum(counts - 1, 0)
        self.loss = np.maximum(self.cost - 1, 0)


def regret_fixed(case: Case) -> Measurement:
    """Mean regret to the best fixed arm over K (4 sqrt(d T) + 1)."""
    plays = _Plays(case)
    bound = case.problem.json.get("bound")
    if not isinstance(bound, int | float) or isinstance(bound, bool) or not bound > 0:
        raise Malformed("bound is not positive")
    steps, count = plays.losses.shape
    totals = plays.losses.sum(axis=0)
    regret = plays.loss.sum(axis=1) - int(totals.min())
    mean, trials = float(regret.mean()), regret.size
    theorem = bound * (4 * math.sqrt(count * steps) + 1)
    inside = bool(plays.losses.max() <= bound)
    vacuous = theorem >= bound * steps
    word = (
        "vacuous: not below K T, which no policy exceeds" if vacuous else "not vacuous"
    )
    spread = float(regret.std(ddof=1) / math.sqrt(trials)) if trials > 1 else 0.0
    figures = {
        "mean_regret": mean,
        "standard_error": spread,
        "bound": theorem,
        "bound_is_vacuous": float(vacuous),
        "best_fixed": float(plays.relaxation[int(totals.argmin())]),
        "trials": float(trials),
    } | _surrogate(case, plays)
    return Measurement(
        mean / theorem,
        f"mean regret {mean:.4g} of a bound of {theorem:.4g}, which is {word}",
        figures,
        {
            "every loss is at most K": "checked" if inside else "violated",
            "arms drawn by importance-weighted Tsallis-INF with this K": "unchecked",
            "costs in the table were measured": "unchecked",
        },
    )


def _surrogate(case: Case, plays: _Plays) -> dict[str, float]:
    """Excess over the best fixed surrogate, and its bound, where beta is known.

    min over omega of sum_t U_t is taken over 2,000 values between the outermost arms.
    """
    tau, rtol = case.problem.json.get("tau"), case.problem.json.get("rtol")
    if "radius" not in case.problem.arrays or tau is None or rtol is None:
        return {}
    beta = real(case.problem.arrays["radius"], "radius", 1)
    steps, count = plays.counts.shape
    if beta.size != steps or not np.all((beta >= 0) & (beta < 1)) or not 0 < tau < 1:
        raise Malformed("radius or tau is out of range")
    arms, log_rtol = plays.relaxation, math.log(rtol)
    best = min(
        float(np.sum(1 + log_rtol / np.log(tau + (1 - tau) * _young(omega, beta))))
        for omega in np.linspace(arms[0], arms[-1], 2000)
    )
    alpha = tau + (1 - tau) * np.maximum(beta**2, arms[-1] - 1)
    rounding = -log_rtol * np.sum(1 / np.log(alpha) ** 2) / max(count - 1, 1)
    learned = case.problem.json["bound"] * (4 * math.sqrt(count * steps) + 1)
    return {
        "surrogate_excess": float(plays.cost.sum(axis=1).mean()) - best,
        "surrogate_bound": learned + float(rounding),
    }


def _young(omega: float, beta: np.ndarray) -> np.ndarray:
    """Spectral radius of SOR's matrix, consistently ordered."""
    inside = omega**2 * beta**2 - 4 * (omega - 1)
    root = omega * beta + np.sqrt(np.maximum(inside, 0))
    return np.where(inside >= 0, root**2 / 4, omega - 1)


def contextual(case: Case) -> Measurement:
    """Mean cost at the end over that of Young's relaxation for each system."""
    plays = _Plays(case)
    optimal = _whole(case.problem.arrays, "optimal")
    window = case.parameters.get("window")
    steps = plays.counts.shape[0]
    if optimal.size != steps or optimal.min() < 1:
        raise Malformed("optimal costs do not fit the table")
    if not isinstance(window, int) or not 1 <= window <= steps:
        raise Malformed("window is no number of rounds")
    ours = plays.cost[:, -window:].mean(axis=1)
    ratios = ours / optimal[-window:].mean()
    return Measurement(
        float(ratios.mean()),
        f"the last {window} of {steps} rounds, {ratios.size} trials; no theorem covers "
        "relative stopping",
        {
            "largest": float(ratios.max()),
            "cost": float(ours.mean()),
            "optimal_cost": float(optimal[-window:].mean()),
        },
        {"costs in the table were measured": "unchecked"},
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "linear.ftrl_trace/1",
        "proof",
        "<=",
        "in every logged round the weights 4 / (eta (S_i / K - x))^2 sum to one, with "
        "S from the logged arms and losses, and the arm is the one that the draw picks",
        "largest deviation",
        ftrl_trace,
    ),
    Rule(
        "linear.regret_fixed/1",
        "evidence",
        "<=",
        "mean regret to the best fixed relaxation of the grid <= promised * K (4 "
        "sqrt(d T) + 1)",
        "share of the bound",
        regret_fixed,
        (TABLE,),
    ),
    Rule(
        "linear.contextual/1",
        "evidence",
        "<=",
        "mean cost of the last rounds <= promised * that of Young's relaxation for "
        "each system",
        "ratio",
        contextual,
    ),
)
