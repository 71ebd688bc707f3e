"""Rules of two-layer networks: bounds hold in exact arithmetic, forgeries do not."""

import math
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, Malformed, decide
from lemmata_checker.packed import Packed
from lemmata_checker.rules import geometry_relu_cells as cells
from lemmata_checker.rules.geometry_relu_data import cost
from lemmata_checker.rules.geometry_relu_dual import dual_value
from lemmata_checker.rules.geometry_relu_run import chernoff, scenario_level

flint = pytest.importorskip("flint")


def case(seed=0, loss="squared", n=6, d=2, k=3, scale=1.0, mu=True):
    """A random network and a random, mostly infeasible, dual with multipliers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    y = rng.normal(size=n) if loss == "squared" else np.sign(rng.normal(size=n))
    h = rng.normal(size=(4, d))
    active = np.unique(h @ x.T >= 0, axis=0)
    dual = rng.normal(size=n)
    if loss != "squared":
        dual = (
            y
            * rng.uniform(-0.2, 1.2, size=n)
            * (scale if loss == "logistic" else 1 / n)
        )
    parameters = {
        "loss": loss,
        "weight_decay": 0.3,
        "logit_scale": scale,
        "gap_tol": 1e-6,
    }
    arrays = {"inputs": x, "targets": y, "pattern_bits": np.packbits(active, axis=1)}
    value = {
        "hidden_weights": rng.normal(size=(k, d)),
        "output_weights": rng.normal(size=k),
        "dual": dual,
        "objective": np.array(1.0),
    }
    witness = {}
    if mu:
        blocks = 2 * len(active)
        witness = {
            "multiplier_indptr": 2 * np.arange(blocks + 1),
            "multiplier_indices": np.tile([1, 4], blocks),
            "multipliers": rng.uniform(0, 0.2, size=2 * blocks),
        }
    return Case(Packed("geometry.convex_relu/1", parameters, arrays), value, witness)


def ball(f):
    return flint.arb(flint.fmpq(f.numerator, f.denominator))


def at_most(one, two):
    """Whether one <= two is shown; `two` may be a ball."""
    return bool(ball(one) <= two) if not isinstance(two, F) else one <= two


def exact_cost(at):
    """A ball of 200 bits around loss and decay."""
    flint.ctx.prec = 200
    arrays, value, parameters = at.problem.arrays, at.value, at.problem.json
    rows = [[F(v) for v in r] for r in arrays["inputs"].tolist()]
    units = [[F(v) for v in r] for r in value["hidden_weights"].tolist()]
    weights = [F(v) for v in value["output_weights"].tolist()]
    y = [F(v) for v in arrays["targets"].tolist()]
    f = [
        sum(
            max(sum(p * q for p, q in zip(r, u, strict=True)), F(0)) * a
            for u, a in zip(units, weights, strict=True)
        )
        for r in rows
    ]
    loss, n = parameters["loss"], len(y)
    if loss == "squared":
        total = ball(sum(((p - q) ** 2 for p, q in zip(f, y, strict=True)), F(0)) / 2)
    elif loss == "hinge":
        total = ball(sum(max(F(0), 1 - p * q) for p, q in zip(f, y, strict=True)) / n)
    else:
        c = F(parameters["logit_scale"])
        total = flint.arb(0)
        for p, q in zip(f, y, strict=True):
            total += (1 + ball(-c * p * q).exp()).log()
    size = sum(v * v for u in units for v in u) + sum(a * a for a in weights)
    return total + ball(F(parameters["weight_decay"]) * size / 2)


KINDS = st.sampled_from(
    [("squared", 1.0), ("hinge", 1.0), ("logistic", 1.0), ("logistic", 2.5)]
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), KINDS)
def test_cost_is_an_upper_bound_and_sharp(seed, kind):
    at = case(seed, *kind[:1], scale=kind[1])
    exact, bound = exact_cost(at), cost(at)
    assert exact <= ball(F(bound))
    assert ball(F(bound)) <= exact * ball(1 + F(1e-12))  # a few dozen roundings


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), KINDS)
def test_the_dual_value_bounds_every_network_with_these_patterns(seed, kind):
    """Weak duality: against networks whose units are drawn from the patterns' cones."""
    at = case(seed, *kind[:1], scale=kind[1])
    lower, largest = dual_value(at)
    assert largest >= 0
    rng = np.random.default_rng(seed)
    arrays = at.problem.arrays
    n = arrays["targets"].size
    active = np.unpackbits(arrays["pattern_bits"], axis=1, count=n).astype(bool)
    draws = rng.normal(size=(300, 2))
    fits = [
        tuple(row) in {tuple(a) for a in active.tolist()}
        for row in (draws @ arrays["inputs"].T >= 0).tolist()
    ]
    units = draws[np.array(fits)]
    for size in (0.0, 0.3, 1.0, 3.0):
        for _ in range(5):
            chosen = units[rng.integers(len(units), size=3)] * size
            output = rng.normal(size=3) * size
            other = Case(
                at.problem,
                dict(at.value) | {"hidden_weights": chosen, "output_weights": output},
            )
            assert lower <= cost(other)


@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_a_dual_outside_the_conjugates_domain_gains_nothing(loss):
    """With a decay that never binds, the zero network's cost is a ceiling."""
    at = case(4, loss, mu=False)
    at.problem.json["weight_decay"] = 1e6
    at.value["dual"] = 50.0 * at.problem.arrays["targets"]
    zero = {"hidden_weights": np.zeros((0, 2)), "output_weights": np.zeros(0)}
    ceiling = cost(Case(at.problem, dict(at.value) | zero))
    assert dual_value(at)[0] <= ceiling


@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_a_dual_that_breaks_its_constraints_is_shrunk(loss):
    """One unit fits labels that are all 1; theta as it is would promise far more."""
    rng = np.random.default_rng(0)
    x, y = np.abs(rng.normal(size=(6, 2))) + 0.1, np.ones(6)
    parameters = {
        "loss": loss,
        "weight_decay": 1e-3,
        "logit_scale": 1.0,
        "gap_tol": 1e-6,
    }
    bits = np.packbits(np.ones((1, 6), bool), axis=1)
    value = {
        "hidden_weights": np.array([[4.0, 4.0]]),
        "output_weights": np.array([5.0]),
        "dual": y / 6 if loss == "hinge" else y / 2,
        "objective": np.array(1.0),
    }
    arrays = {"inputs": x, "targets": y, "pattern_bits": bits}
    at = Case(Packed("geometry.convex_relu/1", parameters, arrays), value)
    lower, largest = dual_value(at)
    assert largest > 10
    assert 0 < lower <= cost(at) < 0.2


def test_largest_norm_is_the_exact_one():
    at = case(3)
    arrays, w = at.problem.arrays, at.witness
    active = np.unpackbits(arrays["pattern_bits"], axis=1, count=6).astype(bool)
    x = [[F(v) for v in r] for r in arrays["inputs"].tolist()]
    theta = [F(v) for v in at.value["dual"].tolist()]
    worst = F(0)
    for block in range(2 * len(active)):
        a = active[block % len(active)]
        sign = 1 if block < len(active) else -1
        weights = [sign * t if on else F(0) for t, on in zip(theta, a, strict=True)]
        for j in (0, 1):
            k = int(w["multiplier_indices"][2 * block + j])
            mu = F(float(w["multipliers"][2 * block + j]))
            weights[k] += mu if a[k] else -mu
        pulls = [sum(weights[k] * x[k][c] for k in range(6)) for c in range(2)]
        worst = max(worst, sum(p * p for p in pulls))
    measured = dual_value(at)[1] * 0.3
    assert worst <= F(measured) ** 2
    assert F(measured) ** 2 <= worst * (1 + F(1e-12))


def test_entropy_is_a_lower_bound_and_sharp():
    """H in balls, at a dual that is feasible as it stands."""
    flint.ctx.prec = 200
    at = case(1, "logistic", scale=2.5, mu=False)
    at.problem.json["weight_decay"] = 1e3
    at.value["dual"][0] = 0.0
    total = flint.arb(0)
    for y, t in zip(at.problem.arrays["targets"], at.value["dual"], strict=True):
        a = min(max(F(float(y * t)), F(0)), F(2.5)) / F(2.5)
        for p in (a, 1 - a):
            if p > 0:
                total -= ball(p) * ball(p).log()
    lower = dual_value(at)[0]
    assert ball(F(lower)) <= total
    # 64 u for a zero and a few roundings a sample
    assert total <= ball(F(lower) + F(1e-13))


SPOILT = {
    "negative multiplier": ("multipliers", lambda m: m - 1.0, "must not be negative"),
    "row start": ("multiplier_indptr", lambda p: p[::-1].copy(), "row starts"),
    "index": ("multiplier_indices", lambda i: i + 6, "out of range"),
    "repeat": ("multiplier_indices", lambda i: np.ones_like(i), "repeat"),
    "dtype": ("multiplier_indices", lambda i: i.astype("<i4"), "int64"),
    "nan": ("multipliers", lambda m: m * np.nan, "not finite"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_multipliers_are_refused(name):
    field, change, match = SPOILT[name]
    at = case()
    at.witness = dict(at.witness) | {field: change(at.witness[field])}
    with pytest.raises(Malformed, match=match):
        dual_value(at)
    assert not decide("geometry.network_gap/1", 1e9, at).holds


def test_a_stated_objective_below_the_cost_is_refused():
    at = case()
    true = cost(at)
    for stated, holds in (
        (true * (1 - 1e-6), False),
        (true * 1.001, True),
        (-1.0, False),
    ):
        at.value["objective"] = np.array(stated)
        at.memo.clear()
        assert decide("geometry.network_cost/1", 1e-9, at).holds == holds


def brute_cells(x, draws=400_000):
    h = np.random.default_rng(0).normal(size=(draws, x.shape[1]))
    return len(np.unique(np.packbits(h @ x.T > 0, axis=1), axis=0))


@pytest.mark.parametrize("seed", range(6))
def test_cells_are_counted_in_any_position(seed):
    rng = np.random.default_rng(seed)
    n, d = rng.integers(2, 7), rng.integers(1, 4)
    x = np.round(rng.normal(size=(n, d)), 0)  # small integers: nothing general
    kept = x[np.any(x != 0, axis=1)]
    expected = brute_cells(kept) if len(kept) else 1
    assert cells.regions(cells.vectors(x)) == expected


def test_general_position_and_too_much_work():
    x = np.random.default_rng(0).normal(size=(8, 3))
    assert cells.regions(cells.vectors(x)) == 2 * sum(math.comb(7, k) for k in range(3))
    with pytest.raises(Malformed, match="too many to count"):
        cells.regions(cells.vectors(np.random.default_rng(0).normal(size=(60, 9))))


def complete_case():
    at = case(2, mu=False)
    x = at.problem.arrays["inputs"]
    angle = np.linspace(0, 2 * np.pi, 5001)[:-1] + 1e-4
    h = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    bits, first = np.unique(
        np.packbits(h @ x.T >= 0, axis=1), axis=0, return_index=True
    )
    at.problem.arrays["pattern_bits"] = bits
    at.problem.arrays["directions"] = h[first]
    return at


def test_a_missing_or_unrealised_pattern_is_found():
    at = complete_case()
    assert cells.complete(at) == (12, 12)
    arrays = dict(at.problem.arrays)
    lacking = {k: arrays[k][1:] for k in ("pattern_bits", "directions")}
    wrong = {"directions": np.roll(arrays["directions"], 1, axis=0)}
    on_edge = arrays["directions"].copy()
    x = arrays["inputs"][0]
    on_edge[0] = [x[1], -x[0]]
    for change in (lacking, wrong, {"directions": on_edge}):
        forged = Case(
            Packed(at.problem.kind, at.problem.json, arrays | change), at.value
        )
        assert cells.complete(forged)[0] < 12
        decision = decide("geometry.global_gap/1", 1e9, forged)
        assert not decision.holds
        assert not math.isfinite(decision.measured)


def test_a_direction_on_a_hyperplane_is_in_no_cell():
    x, on = np.array([[1.0, 1.0]]), np.array([[1.0, -1.0]])
    for active in (True, False):
        assert cells.shown(x, np.array([[active]]), on) == 0
    assert cells.shown(x, np.array([[True]]), on + [[1e-300, 1e-15]]) == 1


def test_scenario_level_against_exact_binomials():
    level = scenario_level(200, 20, 1e-3)
    for p, inside in ((level * (1 + 1e-6), True), (level * (1 - 1e-6), False)):
        q = F(p)
        tail = sum(math.comb(200, i) * q**i * (1 - q) ** (200 - i) for i in range(21))
        assert (tail <= F(1e-3)) == inside
    assert scenario_level(10, 20, 1e-3) == 1.0


def test_chernoff_exceeds_the_exact_limit():
    """Clopper and Pearson's limit by exact sums never lies above."""
    for wrong in (0, 3, 40):
        bound = chernoff(wrong, 400, 1e-3)
        q = F(bound)
        tail = sum(
            math.comb(400, i) * q**i * (1 - q) ** (400 - i) for i in range(wrong + 1)
        )
        assert tail <= F(1e-3)
        assert wrong / 400 < bound < 0.3


def test_a_scenario_claim_needs_a_feasible_dual():
    at = case(1, mu=False)
    at.parameters = {"features": 500, "delta": 1e-3}
    at.value["dual"] = np.zeros(6)
    assert decide("geometry.scenario_violation/1", 0.05, at).holds
    at.value["dual"] = 100 * np.ones(6)
    at.memo.clear()
    assert not decide("geometry.scenario_violation/1", 0.05, at).holds


def test_only_a_falling_line_is_a_linear_rate():
    step = np.arange(40.0)
    rng = np.random.default_rng(0)
    for trace, holds in (
        (0.8**step, True),
        (1.1**step, False),
        (np.exp(rng.normal(size=40)), False),
        (np.ones(40), False),
        (0.8 ** step[:8], False),
        (np.append(0.8**step, 0.0), False),
    ):
        at = Case(case().problem, {}, {"residual": trace})
        assert decide("geometry.residual_decay/1", 0.8, at).holds == holds


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["squared", "hinge", "logistic"]),
    st.sampled_from(["linf", "l2"]),
)
def test_no_shift_exceeds_the_robust_bound(seed, loss, ball_):
    """Random networks, units that change sign included; random and corner shifts."""
    at = case(seed, loss, mu=False)
    radius = 0.1
    parameters = at.problem.json | {"radius": radius, "ball": ball_}
    mask = np.array([True, seed % 3 > 0])
    arrays = at.problem.arrays | {"perturbed_columns": mask}
    robust = Case(Packed("geometry.robust_convex_relu/1", parameters, arrays), at.value)
    upper = decide("geometry.robust_loss/1", 1e9, robust).figures["cost"]
    rng = np.random.default_rng(seed)
    for _ in range(60):
        shift = rng.normal(size=(6, 2)) * mask
        if ball_ == "linf":
            shift = radius * np.sign(shift) * rng.integers(0, 2)
        else:
            shift *= radius / np.linalg.norm(shift, axis=1)[:, None] * (1 - 1e-15)
        moved = Packed(
            at.problem.kind,
            at.problem.json,
            arrays | {"inputs": arrays["inputs"] + shift},
        )
        # the judge's own cost at the moved samples, an upper bound within 1e-12
        assert cost(Case(moved, at.value)) <= upper * (1 + 1e-11)
