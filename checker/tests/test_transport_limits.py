import itertools

import numpy as np
import pytest

from lemmata_checker.case import decide
from lemmata_checker.packed import Packed

from . import instances

LIMITS, BUFFER = "transport.limit_cases/1", "transport.buffer/1"
TRADEOFF = "transport.smoothness_tradeoff/1"


def chain(gamma: float, axis: str = "columns"):
    """Uniform 3 x 3: the LP by brute force, the semi-dual by ascent."""
    n = 3
    cost, weights = np.random.default_rng(0).random((n, n)), np.ones(n)
    orders = itertools.permutations(range(n))
    best = np.array(min(orders, key=lambda s: sum(cost[np.arange(n), s])))
    plan = np.zeros((n, n))
    plan[np.arange(n), best] = 1 / n
    y = instances.assignment_dual(cost, best)
    x = (cost - y).min(axis=1)
    share = weights / n
    alphas = np.array(
        [x, *(instances.ascend(cost, share, share, gamma, k, 1000) for k in (2, 3))]
    )
    lp = {f"lp_{k}": v for k, v in instances.coupling(plan, x, y, 0.0).items()}
    witness = lp | {"caps": np.array([1, 2, 3]), "alphas": alphas}
    packed = instances.sparse(cost, weights, weights, gamma, 2)
    if axis == "rows":
        packed = instances.sparse(cost.T.copy(), weights, weights, gamma, 2, "rows")
        for one, other in (("rows", "columns"), ("row_potential", "column_potential")):
            witness[f"lp_{one}"], witness[f"lp_{other}"] = (
                lp[f"lp_{other}"],
                lp[f"lp_{one}"],
            )
    return packed, witness


@pytest.mark.parametrize("gamma", [0.1, 1.0])
@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_the_chain_of_caps_holds(gamma, axis):
    packed, witness = chain(gamma, axis)
    case = instances.case(packed, {}, witness=witness)
    # ascent at the cap 2 is not smooth: its last steps change D by up to 1e-3
    found = decide(LIMITS, 2e-3, case)
    assert found.holds, found
    assert found.figures["unregularised"] <= 1e-14
    assert found.figures["quadratic"] <= 1e-12


@pytest.mark.parametrize(
    ("name", "shift"), [("alphas", 0.3), ("lp_column_potential", 0.3)]
)
def test_a_potential_that_is_not_optimal_breaks_the_chain(name, shift):
    packed, witness = chain(1.0)
    for place in np.ndindex(witness[name].shape):
        forged = dict(witness)
        forged[name] = witness[name].copy()
        forged[name][place] += shift
        honest = decide(LIMITS, 2e-3, instances.case(packed, {}, witness=witness))
        found = decide(LIMITS, 2e-3, instances.case(packed, {}, witness=forged))
        assert found.measured >= honest.measured or place[0] == 1
    forged = dict(witness) | {"alphas": witness["alphas"] + np.eye(3)}
    assert not decide(LIMITS, 2e-3, instances.case(packed, {}, witness=forged)).holds


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("caps", np.array([1, 2])),
        ("caps", np.array([2, 2, 3])),
        ("caps", np.array([1.0, 2.0, 3.0])),
        ("alphas", np.zeros((2, 3))),
        ("lp_mass", np.full(3, np.nan)),
        ("lp_rows", None),
    ],
)
def test_bad_witnesses_of_the_chain(name, bad):
    packed, witness = chain(1.0)
    witness[name] = bad
    if bad is None:
        del witness[name]
    assert not decide(LIMITS, 1e9, instances.case(packed, {}, witness=witness)).holds


def test_the_norm_is_the_least_of_all_matrices_with_these_marginals():
    rng = np.random.default_rng(1)
    a, b = rng.random(3), rng.random(2)
    a, b = a / a.sum(), b / b.sum()
    norm = np.sum(a**2) / 2 + np.sum(b**2) / 3 - 1 / 6
    least = a[:, None] / 2 + b[None, :] / 3 - 1 / 6
    np.testing.assert_allclose(least.sum(axis=1), a)
    np.testing.assert_allclose(np.sum(least**2), norm)
    assert np.sum(np.outer(a, b) ** 2) >= norm


def route(dispatch, requested):
    logits = np.zeros((4, 2))
    packed = Packed("transport.routing/1", {"cap": 2}, {"logits": logits})
    value = {"dispatch": np.array(dispatch), "requested": np.array(requested)}
    return decide(BUFFER, 2, instances.case(packed, value))


def test_the_buffer_counts_loads_and_drops():
    requested = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    found = route(requested, requested)
    assert found.holds
    assert (found.measured, found.figures["uncovered"]) == (2.0, 1.0)
    dispatch = requested.copy()
    dispatch[1, 1] = False
    found = route(dispatch, requested)
    assert not found.holds
    assert found.figures["dropped"] == 1
    full = np.array([[1, 0]] * 4, bool)
    assert route(full, full).measured == 4
    assert not route(full, full).holds


def test_bad_routings():
    requested = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    for dispatch, asked in (
        (~requested, requested),
        (requested.astype(float), requested),
        (requested[:2], requested[:2]),
        (requested, requested.astype(np.int64)),
    ):
        found = route(dispatch, asked)
        assert not found.holds
        assert "cannot be judged" in found.detail


def tradeoff(lengths, tolerance=0.01, **more):
    traces = np.ones((len(lengths), 10))
    for row, length in zip(traces, lengths, strict=True):
        row[:length] = 0.5
    witness = {
        "caps": np.arange(1, len(lengths) + 1),
        "dual_traces": traces,
        "best": np.ones(len(lengths)),
    } | more
    case = instances.case(
        None, {}, witness=witness, parameters={"tolerance": tolerance}
    )
    return decide(TRADEOFF, -0.8, case)


def test_the_tradeoff_is_a_rank_correlation():
    assert tradeoff([9, 7, 5, 2]).measured == pytest.approx(-1)
    # ranks 1..4 against 3.5, 3.5, 2, 1: -4.5 / sqrt(5 * 4.5)
    assert tradeoff([9, 9, 5, 2]).measured == pytest.approx(-4.5 / np.sqrt(22.5))
    assert not tradeoff([2, 5, 7, 9]).holds
    assert not tradeoff([5, 5, 5]).holds
    assert not tradeoff([9, 7]).holds
    assert tradeoff([9, 7, 5], iterations=np.array([9, 7, 5])).holds
    assert not tradeoff([9, 7, 5], iterations=np.array([9, 7, 4])).holds
    # a best below what was recorded is raised to it, one above is never reached
    assert tradeoff([9, 7, 5], best=np.array([1.0, 1.0, 0.9])).holds
    assert not tradeoff([9, 7, 5], best=np.array([1.0, 1.0, 2.0])).holds
    assert not tradeoff([9, 7, 5], tolerance=True).holds
    assert not tradeoff([9, 7, 5], tolerance=float("nan")).holds


def test_a_gap_never_reached_counts_as_the_whole_trace():
    found = tradeoff([10, 7, 5])
    assert found.holds
    assert found.figures["iterations_1"] == 10


def superlinear(error):
    case = instances.case(None, {}, witness={"error": np.array(error)})
    return decide("transport.superlinear/1", 1e-2, case)


def test_superlinear_looks_at_the_window():
    error = [1.0, 0.5, 9e-3, 2e-3, 2e-4, 1e-6, 1e-11, 1e-15, 1e-15]
    found = superlinear(error)
    assert found.holds
    assert found.measured == pytest.approx(1e-5)
    assert not superlinear([9e-3, 1e-3, 1e-4, 1e-5]).holds  # linear
    assert not superlinear([9e-3, 1e-4, 1e-7]).holds  # too short
    assert not superlinear([9e-3, 2e-3, np.nan, 1e-6, 1e-11]).holds
    assert not superlinear([]).holds


def test_ascent_skips_changes_of_stage():
    def ascent(dual, stage):
        witness = {"dual": np.array(dual, float), "stage": np.array(stage)}
        case = instances.case(None, {}, witness=witness)
        return decide("transport.ascent/1", -1e-12, case)

    assert ascent([1.0, 2.0, 0.0, 0.0], [0, 0, 1, 1]).holds
    assert ascent([1.0, 2.0, 0.0, 0.5], [0, 0, 1, 1]).measured == 0.5
    assert not ascent([1.0, 2.0, 1.9], [0, 0, 0]).holds
    assert not ascent([1.0, 2.0], [0, 1]).holds
    assert not ascent([1.0, 2.0], [0, 0, 0]).holds
    assert not ascent([1.0, np.nan], [0, 0]).holds
