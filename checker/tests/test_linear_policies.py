"""Logs of Tsallis-INF and tables of costs: replayed exactly, forged, hostile."""

import copy
import math

import flint
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed

TRACE, REGRET, CONTEXTUAL = (
    "linear.ftrl_trace/1",
    "linear.regret_fixed/1",
    "linear.contextual/1",
)
STREAM = Packed("linear.shifted_sequence/1", {}, {})


def weights(sums, scale, rounds):
    """Bisection in floats on the distance below the least sum; an oracle of its own."""
    scaled = sums / scale
    low, high = 1e-12, 10 * math.sqrt(rounds * sums.size) + 1
    for _ in range(200):
        gap = 0.5 * (low + high)
        total = np.sum(rounds / (scaled - scaled.min() + gap) ** 2)
        low, high = (gap, high) if total > 1 else (low, gap)
    return rounds / (scaled - scaled.min() + gap) ** 2, scaled.min() - gap


def log(seed, rounds=40, count=4, groups=2, scale=None, skipped=7):
    """A run of the algorithm, written out again; round `skipped` taught nothing."""
    rng = np.random.default_rng(seed)
    sums, clock, totals = np.zeros((groups, count)), np.ones(groups), np.zeros(groups)
    columns = {
        name: []
        for name in (
            "arms",
            "losses",
            "probabilities",
            "draws",
            "normalisers",
            "groups",
        )
    }

    def size(g):
        if scale is not None:
            return scale
        return totals[g] / (clock[g] - 1) if totals[g] > 0 else 1.0

    for t in range(rounds):
        g, draw = int(rng.integers(groups)), rng.uniform()
        w, x = weights(sums[g], size(g), clock[g])
        w = w / w.sum()
        arm = min(int(np.sum(np.cumsum(w) <= draw)), count - 1)
        loss = -1.0 if t == skipped else float(rng.integers(5, 40) + 10 * arm)
        row = (arm, loss, w[arm], draw, x, g)
        for column, entry in zip(columns.values(), row, strict=True):
            column.append(entry)
        if loss >= 0:
            sums[g, arm] += loss / w[arm]
            clock[g], totals[g] = clock[g] + 1, totals[g] + loss
    witness = {name: np.array(column) for name, column in columns.items()}
    last = [weights(sums[g], size(g), clock[g])[1] for g in range(groups)]
    witness["last_normalisers"] = np.array(last)
    parameters = {"count": count, "scale": scale}
    return Case(STREAM, {}, witness, parameters)


@pytest.mark.parametrize("scale", [None, 60.0])
@pytest.mark.parametrize("groups", [1, 3])
def test_honest_log_is_accepted(scale, groups):
    decision = decide(TRACE, 1e-10, log(1, groups=groups, scale=scale))
    assert decision.holds, decision
    assert decision.measured < 1e-11


def exact_deviation(case):
    """|sum w - 1| over rounds in 300-bit balls, sums of exact quotients."""
    before, flint.ctx.prec = flint.ctx.prec, 300
    try:
        w, worst = case.witness, 0.0
        count, groups = case.parameters["count"], w["last_normalisers"].size
        sums = [[flint.arb(0)] * count for _ in range(groups)]
        clock, totals = [0] * groups, [flint.arb(0)] * groups

        def deviation(g, x):
            scale = case.parameters["scale"]
            if scale is None:
                scale = totals[g] / clock[g] if totals[g] > 0 else flint.arb(1)
            total = sum((clock[g] + 1) / (s / scale - x) ** 2 for s in sums[g])
            return abs(float((total - 1).mid()))

        for t in range(w["arms"].size):
            g, arm = int(w["groups"][t]), int(w["arms"][t])
            worst = max(worst, deviation(g, flint.arb(float(w["normalisers"][t]))))
            loss = float(w["losses"][t])
            if loss >= 0:
                p = flint.arb(float(w["probabilities"][t]))
                sums[g][arm] = sums[g][arm] + loss / p
                clock[g], totals[g] = clock[g] + 1, totals[g] + loss
        for g in range(groups):
            x = flint.arb(float(w["last_normalisers"][g]))
            worst = max(worst, deviation(g, x))
        return worst
    finally:
        flint.ctx.prec = before


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 50.0]))
def test_measured_is_above_the_exact_deviation(seed, scale):
    case = log(seed, scale=scale)
    assert exact_deviation(case) <= decide(TRACE, 1.0, case).measured


@pytest.mark.parametrize("position", range(40))
def test_one_changed_arm_is_refused(position):
    """Wherever it is, the last round and a skipped one included."""
    case = log(2)
    for change in (1, 2, 3):
        arms = case.witness["arms"].copy()
        arms[position] = (arms[position] + change) % 4
        forged = Case(STREAM, {}, case.witness | {"arms": arms}, case.parameters)
        assert not decide(TRACE, 1e-10, forged).holds


@pytest.mark.parametrize(
    ("name", "amount"),
    [("losses", 1.0), ("probabilities", 1e-6), ("normalisers", 1e-6)],
)
def test_every_other_altered_entry_is_refused(name, amount):
    case = log(3)
    for position in range(40):
        if name == "losses" and position == 7:
            continue
        altered = case.witness[name].copy()
        altered[position] += amount * (1 if altered[position] < 0.5 else -1)
        forged = Case(STREAM, {}, case.witness | {name: altered}, case.parameters)
        assert not decide(TRACE, 1e-10, forged).holds, position


def test_draws_must_pick_their_arms():
    case = log(4)
    draws = case.witness["draws"].copy()
    draws[5] = (draws[5] + 0.5) % 1.0  # no arm has half of the weight so early
    forged = Case(STREAM, {}, case.witness | {"draws": draws}, case.parameters)
    decision = decide(TRACE, 1e-10, forged)
    assert not decision.holds
    assert decision.measured > 1e-3


@pytest.mark.parametrize(
    "spoil",
    [
        {"arms": np.full(40, 9)},
        {"arms": np.zeros(39, np.int64)},
        {"arms": np.zeros(40)},
        {"losses": np.full(40, np.nan)},
        {"losses": np.full(40, 0.5)},
        {"probabilities": np.zeros(40)},
        {"normalisers": np.full(40, 1e9)},
        {"last_normalisers": np.zeros(0)},
        {"draws": np.ones(40)},
    ],
)
def test_malformed_log_never_holds(spoil):
    case = log(5)
    forged = Case(STREAM, {}, case.witness | spoil, case.parameters)
    assert not decide(TRACE, 1e300, forged).holds


@pytest.mark.parametrize("count", [0, -1, True, "4", None, 10**9, 2.0])
def test_malformed_parameters_never_hold(count):
    case = log(5)
    forged = Case(STREAM, {}, case.witness, {"count": count, "scale": None})
    assert not decide(TRACE, 1e300, forged).holds


def table(seed=0, rounds=30, count=3, trials=4, **fields):
    rng = np.random.default_rng(seed)
    arrays = {
        "counts": rng.integers(20, 80, size=(rounds, count)),
        "relaxation": np.linspace(1.0, 1.9, count),
        "optimal": rng.integers(10, 20, size=rounds),
    }
    json = {"bound": 79.0, "tau": None, "rtol": None} | fields
    arms = rng.integers(count, size=(trials, rounds))
    packed = Packed("linear.relaxation_table/1", json, arrays)
    return Case(packed, {"arms": arms}, {}, {"window": 10})


def test_regret_by_hand():
    case = table()
    counts, arms = case.problem.arrays["counts"], case.value["arms"]
    best = (counts - 1).sum(axis=0).min()
    regrets = [
        sum(int(counts[t, a]) - 1 for t, a in enumerate(row)) - best for row in arms
    ]
    bound = 79 * (4 * math.sqrt(3 * 30) + 1)
    decision = decide(REGRET, 1.0, case)
    assert decision.holds
    assert decision.measured == pytest.approx(np.mean(regrets) / bound, rel=1e-12)
    error = np.std(regrets, ddof=1) / 2
    assert decision.figures["standard_error"] == pytest.approx(error)
    assert decision.figures["bound_is_vacuous"] == 1.0
    assert "vacuous" in decision.detail


def test_loose_bound_is_said_to_be_vacuous_only_where_it_is():
    # 4 sqrt(d T) + 1 < T for d = 1 and T = 30
    assert "not vacuous" in decide(REGRET, 1.0, table(count=1)).detail


def test_bound_below_a_loss_is_violated():
    case = table(bound=40.0)
    decision = decide(REGRET, 1e9, case)
    assert not decision.holds
    assert decision.assumptions["every loss is at most K"] == "violated"


def test_contextual_by_hand():
    case = table()
    counts, arms = case.problem.arrays["counts"], case.value["arms"]
    ours = np.mean([[counts[t, row[t]] for t in range(20, 30)] for row in arms])
    expected = ours / case.problem.arrays["optimal"][20:].mean()
    assert decide(CONTEXTUAL, 10.0, case).measured == pytest.approx(expected)
    assert not decide(CONTEXTUAL, 1.15, case).holds


@pytest.mark.parametrize("window", [0, 31, "10", None, 1.5])
def test_window_is_checked(window):
    case = table()
    case.parameters = {"window": window}
    assert not decide(CONTEXTUAL, 1e9, case).holds


def test_surrogate_figures():
    """Excess over the best fixed surrogate by brute force on a coarse grid."""
    case = table(tau=0.2, rtol=1e-8)
    beta = np.random.default_rng(1).uniform(0.8, 0.95, size=30)
    arrays = case.problem.arrays | {"radius": beta}
    case.problem = case.problem._replace(arrays=arrays)
    figures = decide(REGRET, 1.0, case).figures

    def surrogate(omega):
        root = np.sqrt((omega * beta) ** 2 - 4 * (omega - 1) + 0j)
        rho = np.maximum(np.abs((omega * beta + root) / 2) ** 2, omega - 1)
        return np.sum(1 + np.log(1e-8) / np.log(rho + 0.2 * (1 - rho)))

    best = min(surrogate(w) for w in np.linspace(1, 1.9, 500))
    cost = np.take_along_axis(
        arrays["counts"][None], case.value["arms"][:, :, None], axis=2
    ).sum(axis=(1, 2))
    assert figures["surrogate_excess"] == pytest.approx(cost.mean() - best, rel=1e-3)
    alpha = 0.2 + 0.8 * np.maximum(beta**2, 0.9)
    rounding = np.log(1e8) * np.sum(1 / np.log(alpha) ** 2) / 2
    learned = 79 * (4 * np.sqrt(90) + 1)
    assert figures["surrogate_bound"] == pytest.approx(learned + rounding)


@pytest.mark.parametrize(
    "spoil",
    [
        {"counts": np.ones((30, 3))},
        {"counts": np.ones((30, 2), np.int64)},
        {"relaxation": np.ones(2)},
        {"optimal": np.zeros(30, np.int64)},
    ],
)
def test_malformed_table_never_holds(spoil):
    case = table()
    broken = copy.copy(case)
    broken.problem = case.problem._replace(arrays=case.problem.arrays | spoil)
    assert not decide(CONTEXTUAL, 1e300, broken).holds
    arms = Case(case.problem, {"arms": np.full((4, 30), 3)}, {}, case.parameters)
    assert not decide(REGRET, 1e300, arms).holds
