"""Sparsity-constrained transport: bounds against brute force, limits, bad input."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment

from lemmata.core import InvalidArgument, InvalidMethod, InvalidProblem, certify, solve
from lemmata.transport import (
    LBFGS,
    Adam,
    Averaging,
    Direct,
    Dual,
    EntropicTopK,
    Polish,
    QuadraticTransport,
    Selection,
    SemiDual,
    SparseTransport,
    SparsityPath,
    UnregularisedTransport,
)

FEW = LBFGS(max_steps=60)
AVERAGING = SemiDual(FEW, recovery=Polish(mixture=Averaging(steps=50), searches=1))


def small(m=6, n=3, seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {"gamma": 1.0, "cap": 2, "gap_tol": 1.0} | options
    return SparseTransport(rng.uniform(size=(m, n)), **options)


def brute_force(problem):
    """The global optimum: on the right support, the optimality system is linear.

    For every choice of at most cap entries per column, equality constraints alone are
    imposed; a solution with t >= 0 is a plan, and the optimum is among them.
    """
    m, n = problem.cost.shape
    a = problem.source / problem.source.sum()
    b = problem.target / problem.target.sum()
    cost, gamma, best = problem.cost.matrix(), problem.gamma, np.inf
    choices = [
        c
        for k in range(1, problem.cap + 1)
        for c in itertools.combinations(range(m), k)
    ]
    for columns in itertools.product(choices, repeat=n):
        if len(set(itertools.chain(*columns))) < m:
            continue
        i = np.concatenate([np.array(c) for c in columns])
        j = np.repeat(np.arange(n), [len(c) for c in columns])
        rows = np.zeros((m + n, i.size))
        rows[i, np.arange(i.size)] = rows[m + j, np.arange(i.size)] = 1
        # gamma t + rows' x = -c, rows t = marginals
        duals = np.linalg.lstsq(
            rows @ rows.T, -gamma * np.r_[a, b] - rows @ cost[i, j], rcond=None
        )[0]
        t = -(cost[i, j] + rows.T @ duals) / gamma
        if t.min() < -1e-12 or np.abs(rows @ t - np.r_[a, b]).max() > 1e-10:
            continue
        best = min(best, cost[i, j] @ t + gamma / 2 * t @ t)
    return best


@pytest.fixture(scope="module")
def solved():
    """6 x 3 with uniform weights, cap 2: every row has one column to itself."""
    problem = small()
    return problem, solve(problem)


def test_bounds_enclose_the_brute_force_optimum(solved):
    problem, solution = solved
    best, value = brute_force(problem), solution.value
    assert solution.certified
    assert value.dual_value <= best + 1e-12 <= value.objective + 2e-12  # rounding
    if value.objective - value.dual_value <= 1e-9:
        assert value.objective == pytest.approx(best, abs=1e-7)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bounds_on_four_by_three(seed):
    rng = np.random.default_rng(seed)
    source = np.round(rng.dirichlet(np.full(4, 5.0)) * 64 + 1)
    target = np.array([1.0, 1.0, 1.0]) * source.sum() / 3
    problem = small(4, 3, seed, source=source, target=target, marginal_tol=1.0)
    solution = solve(problem, throw=False)
    best, value = brute_force(problem), solution.value
    assert value.dual_value <= best + 1e-12
    feasible = "sparse_gap" in solution.certificate
    if feasible:
        assert best <= value.objective + 1e-12
        # The search is a heuristic; on four rows it should be near.
        assert value.objective <= best + 0.05
    if feasible and value.objective - value.dual_value <= 1e-9:
        assert value.objective == pytest.approx(best, abs=1e-7)


def test_cap_of_one_is_the_assignment():
    rng = np.random.default_rng(5)
    cost = rng.uniform(size=(20, 20))
    solution = solve(SparseTransport(cost, gamma=1.0, cap=1))
    rows, columns = linear_sum_assignment(cost)
    # gamma/2 |T|^2 = 1/2 * 20 / 400
    expected = cost[rows, columns].sum() / 20 + 0.025
    assert solution.certified
    assert solution.value.dual_value == pytest.approx(expected, abs=1e-9)
    assert solution.value.objective == pytest.approx(expected, abs=1e-12)


def test_moving_an_entry_to_a_further_row_is_rejected(solved):
    problem, solution = solved
    honest = solution.value.dense()
    column = int(np.argmax((honest > 0).sum(axis=0)))
    row = int(np.flatnonzero(honest[:, column] == 0)[0])
    giver = int(np.flatnonzero(honest[:, column])[0])
    forged = honest.copy()
    forged[row, column] += 1e-3
    forged[giver, column] -= 1e-3
    judged = certify(
        problem, problem.candidate(plan=forged, alpha=solution.value.alpha)
    )
    assert not judged.certificate["cardinality"].holds
    assert judged.certificate["cardinality"].measured == 3


@pytest.mark.parametrize("field", ["mass", "selection_mass", "alpha"])
def test_altered_values_lose_their_claims(solved, field):
    problem, solution = solved
    arrays = solution.value.pack()
    arrays[field] = arrays[field].copy()
    arrays[field][0] += 0.01 if field == "alpha" else 1e-3
    judged = certify(problem, problem.value_from(arrays))
    assert not judged.certificate.holds


def test_a_foreign_plan_gets_the_same_claims(solved):
    problem, solution = solved
    again = problem.candidate(plan=solution.value.sparse())
    judged = certify(problem, again)
    assert judged.certificate.holds
    # Both potentials are maximisers.
    assert again.dual_value == pytest.approx(float(solution.value.dual_value), abs=1e-9)


@pytest.mark.slow
def test_rows_are_columns_of_the_transposed_problem(solved):
    problem, solution = solved
    flipped = SparseTransport(
        problem.cost.matrix().T, gamma=1.0, cap=2, axis="rows", gap_tol=1.0
    )
    other = solve(flipped)
    assert other.certified
    np.testing.assert_array_equal(other.value.dense(), solution.value.dense().T)
    np.testing.assert_array_equal(other.value.beta, solution.value.alpha)


def test_identical_tokens_are_decided_by_index(solved):
    cost = np.tile(np.random.default_rng(7).uniform(size=(1, 3)), (6, 1))
    problem = SparseTransport(cost, gamma=1.0, cap=2, gap_tol=1e-6)
    first, second = (solve(problem) for _ in range(2))
    assert first.certified
    np.testing.assert_array_equal(first.value.dense(), second.value.dense())


def test_forbidden_pairs_carry_nothing():
    cost = np.random.default_rng(8).uniform(size=(6, 3))
    cost[[0, 1, 2], [0, 1, 2]] = np.inf
    solution = solve(SparseTransport(cost, gamma=1.0, cap=2, gap_tol=1.0))
    assert solution.certified
    assert not np.any(solution.value.dense()[~np.isfinite(cost)])


@pytest.mark.parametrize(
    "method",
    [
        SemiDual(optimizer=Adam(max_steps=200), path=Direct(), recovery=Selection()),
        pytest.param(Dual(optimizer=FEW), marks=pytest.mark.slow),
        pytest.param(AVERAGING, marks=pytest.mark.slow),
        UnregularisedTransport(),
        QuadraticTransport(),
        EntropicTopK(),
    ],
    ids=lambda m: type(m).__name__,
)
def test_every_method_bounds_the_optimum(solved, method):
    problem, reference = solved
    solution = solve(problem, method, throw=False)
    certificate = solution.certificate
    assert certificate["sparse_lower_bound"].holds
    assert certificate["selection_optimality"].holds
    assert solution.value.dual_value <= reference.value.dual_value + 1e-9


def test_warm_start_stays_at_the_maximum(solved):
    problem, solution = solved
    again = solve(problem, start=solution)
    assert again.value.dual_value >= solution.value.dual_value - 1e-12


def test_path_of_caps(solved):
    problem, solution = solved
    path = solve(problem, SparsityPath(caps=(2, 3), max_steps=60))
    values = path.certificate["limit_cases"]
    assert values.holds
    assert path.value.dual_value == pytest.approx(
        float(solution.value.dual_value), abs=1e-9
    )


BAD = {
    "cap of 0": ({"cap": 0}, r"cap: expected an integer in \[1, 6\], got 0"),
    "cap above m": ({"cap": 7}, r"cap: expected an integer in \[1, 6\], got 7"),
    "cap of 2.0": ({"cap": 2.0}, r"cap: expected an integer"),
    "cap of True": ({"cap": True}, r"cap: expected an integer"),
    "cap too small": ({"cap": 1}, r"got cap = 1: 3 rows cannot be covered"),
    "gamma of 0": ({"gamma": 0.0}, r"gamma: expected finite, > 0"),
    "gamma of nan": ({"gamma": np.nan}, r"gamma: expected finite, > 0"),
    "axis": ({"axis": "both"}, r"axis: expected 'columns' or 'rows'"),
    "zero weight": ({"source": [0, 1, 1, 1, 1, 2.0]}, r"source: expected weights > 0"),
    "nan weight": ({"source": [np.nan] * 6}, r"source: expected finite"),
    "sums differ": ({"source": np.full(6, 1 / 6), "target": np.full(3, 0.34)}, r"sum"),
    "gap_tol": ({"gap_tol": 0.0}, r"gap_tol: expected finite, > 0"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_names_the_field(options, message):
    with pytest.raises(InvalidProblem, match=message):
        small(**options)


def test_bad_costs_name_the_entry_or_the_condition():
    cost = np.ones((4, 2))
    cost[1, 1] = np.nan
    with pytest.raises(InvalidProblem, match=r"cost: .*first at \(1, 1\)"):
        SparseTransport(cost, gamma=1.0, cap=2)
    cost[1] = np.inf
    with pytest.raises(InvalidProblem, match="a finite entry in every row"):
        SparseTransport(cost, gamma=1.0, cap=2)
    cost = np.ones((4, 2))
    cost[:3, 1] = np.inf  # three rows for one column of cap 2
    with pytest.raises(InvalidProblem, match="cap: .*1 points that no such choice"):
        SparseTransport(cost, gamma=1.0, cap=2)
    weights = np.array([3.0, 3.0, 1.0, 1.0])
    cost = np.array([[1, np.inf], [1, np.inf], [np.inf, 1], [1, 1]])
    with pytest.raises(InvalidProblem, match="weights can be transported"):
        SparseTransport(cost, weights, np.full(2, 4.0), gamma=1.0, cap=3)


def test_bad_options_and_candidates_are_refused(solved):
    problem, _ = solved
    with pytest.raises(InvalidMethod, match="SemiDual.optimizer: expected an instance"):
        SemiDual(optimizer="lbfgs")
    with pytest.raises(InvalidMethod, match="Polish.searches"):
        SemiDual(recovery=Polish(searches=9))
    with pytest.raises(InvalidMethod, match="LBFGS.memory"):
        SemiDual(LBFGS(memory=0))
    with pytest.raises(InvalidArgument, match="candidate.plan"):
        problem.candidate(plan=np.ones((2, 2)))
    with pytest.raises(InvalidArgument, match="candidate.alpha"):
        problem.candidate(plan=sp.coo_array(np.ones((6, 3))), alpha=np.zeros(3))
