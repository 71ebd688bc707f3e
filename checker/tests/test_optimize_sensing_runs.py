"""Rules of matrix sensing about truths and runs, and forgeries of each."""

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import decide
from lemmata_checker.packed import Packed
from lemmata_checker.rules.optimize_sensing_operator import sensing_of

from . import sensing
from .sensing import case, descend, packed, semidefinite, stacked_pairs

FLOOR = "optimize.rank_floor/1"
BOUND, ISOMETRY = "optimize.symmetric_lower_bound/1", "optimize.observed_isometry/1"
IMBALANCE, DRIFT = "optimize.imbalance/1", "optimize.imbalance_drift/1"
RATE, EXACT = "optimize.linear_rate_of_factors/1", "optimize.exact_parameterisation/1"
ACCELERATION = "optimize.acceleration/1"
EVERY = ("identity", "dense", "rank_one", "mask", "gaussian", "fourier")
seeds = st.integers(0, 2**31)
few = settings(deadline=None, max_examples=40)


# --- planted


def planted_run(n=8, k=4, steps=400, scale=0.1, eta=0.2, seed=0):
    truth = semidefinite(n, (1.0, 0.5), seed)
    problem = packed("identity", planted=(truth, truth), psd=True)
    start = scale * np.random.default_rng(seed).normal(size=(n, k))
    seen, _ = descend(problem, start, start, eta, steps, symmetric=True)
    pairs = stacked_pairs(seen, (0, 3, 50, steps - 1))[:, :, :n]
    witness = {"start": start, "pairs": pairs}
    end = seen[-1][0]
    return problem, end, witness, {"step_size": eta, "steps": steps}


@given(seeds, st.sampled_from([0.01, 0.05, 0.2]))
@few
def test_lower_bound_and_floor_hold_for_every_run(seed, scale):
    problem, end, witness, parameters = planted_run(seed=seed, scale=scale)
    found = decide(BOUND, 1.0, case(problem, end, end, witness=witness, **parameters))
    assert found.holds, found
    error = end @ end.T - problem.arrays["truth_left"] @ problem.arrays["truth_left"].T
    u = np.linalg.svd(witness["start"], compute_uv=False)[-1] ** 2
    bound = 2 * (u / (1 + 3 * 0.2 * 400 * u)) ** 2
    assert found.measured == pytest.approx(np.sum(error**2) / bound, rel=1e-6)
    assert found.measured <= np.sum(error**2) / bound
    floor = decide(FLOOR, 1 - 1e-6, case(problem, end, end))
    assert floor.holds, floor


def test_forged_lower_bounds_are_refused():
    problem, end, witness, parameters = planted_run()

    def judge(problem=problem, left=end, right=None, witness=witness, **changes):
        right = left if right is None else right
        changed = case(problem, left, right, witness=witness, **parameters | changes)
        return decide(BOUND, 1.0, changed).holds

    assert judge()
    assert not judge(steps=4)  # the bound of an earlier step
    assert not judge(step_size=0.1)  # another run's pairs
    assert not judge(step_size=-0.2)
    assert not judge(steps=True)
    assert not judge(left=problem.arrays["truth_left"])  # the width of the rank
    assert not judge(right=end + 1e-9)
    shifted = witness["pairs"].copy()
    shifted[2, 1, 0, 0] += 1e-9
    assert not judge(witness=witness | {"pairs": shifted})
    assert not judge(witness=witness | {"pairs": shifted[:0]})
    assert not judge(witness={"pairs": witness["pairs"]})
    assert not judge(witness=witness | {"start": 20 * witness["start"]})
    fields = problem.json | {"psd": False}
    assert not judge(problem=Packed(problem.kind, fields, problem.arrays))
    noisy = problem.arrays | {"measurements": problem.arrays["measurements"] + 1e-6}
    assert not judge(problem=Packed(problem.kind, problem.json, noisy))
    closer = end.copy()
    closer[:, :] = 0
    closer[:, :2] = problem.arrays["truth_left"]
    assert not judge(left=closer)  # better than the theorem allows


def test_lower_bound_is_refused_outside_its_step_condition():
    for eta in (0.5, 0.9):
        problem, end, witness, parameters = planted_run(eta=eta, steps=60)
        changed = case(problem, end, end, witness=witness, **parameters)
        found = decide(BOUND, 0.0, changed)
        assert not found.holds
        assert found.assumptions.get("step condition along the path") != "checked"


def test_floor_counts_the_truths_own_width():
    problem, end, *_ = planted_run()
    assert decide(FLOOR, 0.9, case(problem, end, end)).holds
    assert not decide(FLOOR, 1.01, case(problem, end, end)).holds
    low = problem.arrays["truth_left"][:, :1]  # a rank said to be lower than it is
    arrays = problem.arrays | {"truth_left": low, "truth_right": low}
    forged = Packed(problem.kind, problem.json, arrays)
    assert decide(FLOOR, 0.9, case(forged, end, end)).measured < 3
    wide = np.concatenate([problem.arrays["truth_left"], np.zeros((8, 4))], axis=1)
    arrays = problem.arrays | {"truth_left": wide, "truth_right": wide}
    forged = Packed(problem.kind, problem.json, arrays)
    assert decide(FLOOR, 0.9, case(forged, end, end)).measured > 1e6
    plain = Packed("optimize.matrix_sensing/1", problem.json, problem.arrays)
    assert not decide(FLOOR, 0.0, case(plain, end, end)).holds


def test_observed_isometry_is_the_ratio():
    truth = semidefinite(4, (1.0,)), semidefinite(4, (1.0,), seed=1)
    left = truth[0] + 1e-4 * np.arange(4.0)[:, None]
    for operator in EVERY:
        problem = packed(operator, planted=truth, m=12)
        a = sensing.rows(problem, (4, 4))
        d = (left - truth[0]) @ truth[1].T
        at = sensing_of(case(problem, left, truth[1]))
        ratio = at.scale * np.sum((a @ d.reshape(-1)) ** 2) / np.sum(d**2)
        found = decide(ISOMETRY, 0.0, case(problem, left, truth[1]))
        # D cancels to 1e-4: ten digits are left
        assert found.measured == pytest.approx(ratio, rel=1e-9)
    identity = packed("identity", planted=truth)
    assert not decide(ISOMETRY, 0.0, case(identity, *truth)).holds


# --- runs


def asymmetric_run(operator, order="simultaneous", steps=60):
    truth = semidefinite(5, (1.0,)), semidefinite(4, (1.0,), seed=1)
    problem = packed(operator, planted=truth, m=40, seed=3)
    rng = np.random.default_rng(1)
    left, right = 0.1 * rng.normal(size=(5, 2)), 0.03 * rng.normal(size=(4, 2))
    seen, path = descend(problem, left, right, 0.1, steps, order=order)
    return problem, seen, path


@pytest.mark.parametrize("operator", EVERY)
def test_imbalance_holds_for_simultaneous_steps_and_not_for_steps_in_turn(operator):
    for order, good in (("simultaneous", True), ("in turn", False)):
        problem, seen, _ = asymmetric_run(operator, order)
        witness = {"pairs": stacked_pairs(seen, (0, 9, 40))}
        changed = case(problem, *seen[-1], witness=witness, step_size=0.1)
        found = decide(IMBALANCE, 1e-12, changed)
        assert found.holds is good, found
        assert found.figures["largest change"] > 1e-7


def test_forged_imbalance_is_refused():
    problem, seen, _ = asymmetric_run("gaussian")
    pairs = stacked_pairs(seen, (0, 9, 40))

    def judge(pairs=pairs, **changes):
        parameters = {"step_size": 0.1} | changes
        changed = case(problem, *seen[-1], witness={"pairs": pairs}, **parameters)
        return decide(IMBALANCE, 1e-12, changed).holds

    assert judge()
    assert not judge(step_size=0.11)
    assert not judge(pairs=pairs[:0])
    assert not judge(pairs=pairs.astype(np.float32))
    assert not judge(pairs=np.zeros_like(pairs))
    for place in ((0, 0, 0, 0), (1, 1, 7, 1)):
        forged = pairs.copy()
        forged[place] += 1e-9
        assert not judge(pairs=forged)


def test_drift_is_bounded_by_the_squared_steps():
    problem, seen, path = asymmetric_run("dense")
    start = np.concatenate(seen[0])

    def judge(path, start=start):
        changed = case(
            problem,
            *seen[-1],
            witness={"start": start},
            trace={"path": np.array([0.0, path])},
        )
        return decide(DRIFT, 1e-10, changed)

    assert judge(path).holds
    drift = judge(path).figures["drift"]
    assert not judge(0.5 * drift).holds
    assert not judge(math.nan).holds
    assert not judge(-1.0).holds
    assert not judge(path, 3 * start).holds


def synthetic(rate_share=1.0, bend=0.0, looks=40, eta=0.1):
    """A planted answer of width 2 for rank 1, and a trace that falls along a line."""
    truth = semidefinite(5, (1.0,)), semidefinite(4, (1.0,), seed=1)
    problem = packed("identity", planted=truth)
    rng = np.random.default_rng(7)
    left = np.concatenate([truth[0], 0.3 * np.linalg.qr(rng.normal(size=(5, 1)))[0]], 1)
    right = np.concatenate([truth[1], 1e-9 * rng.normal(size=(4, 1))], axis=1)
    values = np.linalg.svd(left, compute_uv=False)
    slope = rate_share * 2 * math.log1p(-eta * values[-1] ** 2)
    steps = np.arange(1, looks + 1) * 30
    logs = -14 + slope * steps * (1 - bend * steps / steps[-1])
    trace = {
        "gradient_steps": steps.astype(np.int64),
        "square_error": np.exp(logs),
        "residual": np.exp(logs / 2),
    }
    return problem, left, right, trace


def test_rate_is_compared_with_what_the_factors_predict():
    problem, left, right, trace = synthetic()
    found = decide(RATE, 0.9, case(problem, left, right, trace=trace, step_size=0.1))
    assert found.holds
    assert found.measured == pytest.approx(1.0, rel=1e-6)
    for options, promised in (({"rate_share": 0.5}, 0.9), ({"bend": 0.8}, 0.0)):
        problem, left, right, trace = synthetic(**options)
        changed = case(problem, left, right, trace=trace, step_size=0.1)
        assert not decide(RATE, promised, changed).holds, options
    few_looks = {name: column[:3] for name, column in trace.items()}
    changed = case(problem, left, right, trace=few_looks, step_size=0.1)
    assert not decide(RATE, 0.0, changed).holds
    assert not decide(RATE, 0.0, case(problem, left, right, step_size=0.1)).holds
    wide = case(problem, left, right, trace=trace, step_size=0.1)
    assert not decide(EXACT, 0.0, wide).holds


def test_acceleration_looks_at_the_change_of_factors():
    problem, left, right, trace = synthetic()
    rng = np.random.default_rng(5)
    before = rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    basis, values, turned = np.linalg.svd(before[0], full_matrices=False)
    b = 1.2 * math.sqrt(np.linalg.norm(before[0] @ before[1].T, 2))
    after = b * basis, (before[1] @ turned.T) * values / b
    stack = {"before": np.concatenate(before), "after": np.concatenate(after)}

    def judge(witness=stack, **changes):
        parameters = {"step_size": 0.1, "switch_scale": 1.2, "switched": 30} | changes
        changed = case(problem, left, right, witness=witness, trace=trace, **parameters)
        return decide(ACCELERATION, 0.9, changed).holds

    assert judge()
    assert not judge(switch_scale=1.3)
    assert not judge(switched=-1)
    assert not judge(switched=10**6)
    for row in (0, 7):  # a left entry, a right entry
        forged = stack["after"].copy()
        forged[row, 0] += 1e-9
        assert not judge(witness=stack | {"after": forged})
    balanced = np.concatenate(before)
    assert not judge(witness={"before": balanced, "after": balanced})
