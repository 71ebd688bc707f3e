"""The attention SVM in both norms, against definitions and independent solvers."""

import jax
import numpy as np
import pytest
from tests.geometry.attention_instances import (
    least_norm_weights,
    matrices,
    sequences,
)

import lemmata as lm
from lemmata.core import InvalidProblem
from lemmata.geometry import (
    AttentionSVM,
    ConicSVM,
    DualActiveSet,
    NuclearADMM,
    max_margin_weights,
)
from lemmata.geometry._attention_constraints import Constraints
from lemmata.geometry._attention_host import least_norm

N, T, D = 4, 4, 5


def svm(seed=0, **options):
    tokens, queries, _, _, scores = sequences(N, T, D, seed)
    return AttentionSVM(tokens, queries, scores=scores, **options)


def certified(problem, method=None):
    solution = lm.solve(problem, method)
    assert solution.certificate.holds
    return solution


def test_constraints_are_what_the_definition_says():
    tokens, queries, _, _, _ = sequences(3, 4, 5, seed=1)
    selected, lengths = np.array([1, 0, 2]), np.array([4, 2, 3])
    found = Constraints.of(tokens, queries, selected, lengths)
    dense = matrices(tokens, queries, selected, lengths)
    rng = np.random.default_rng(0)
    weights, active = rng.normal(size=(5, 5)), np.asarray(found.active)
    assert active.sum() == len(dense) == 3 + 1 + 2
    expected = np.einsum("kab,ab->k", dense, weights)
    np.testing.assert_allclose(found.margins(weights)[active], expected, atol=1e-13)
    assert np.all(found.rounding(weights)[active] > 0)
    mu = rng.random(active.shape) * active
    expected = np.einsum("k,kab->ab", mu[active], dense)
    np.testing.assert_allclose(found.combine(mu), expected, atol=1e-13)
    flat = dense.reshape(len(dense), -1)
    inside = active.reshape(-1)
    gram = found.gram()[np.ix_(inside, inside)]
    np.testing.assert_allclose(gram, flat @ flat.T, atol=1e-13)
    sizes = np.linalg.norm(flat, axis=1)
    np.testing.assert_allclose(found.sizes()[active], sizes, atol=1e-13)
    assert not np.any(found.gram()[~inside])


@pytest.mark.parametrize("seed", range(4))
def test_active_set_agrees_with_least_squares_on_vectors(seed):
    problem = svm(seed)
    solution = certified(problem)
    dense = matrices(problem.tokens, problem.queries, problem.selected)
    expected = least_norm_weights(dense)
    # the peer's own accuracy: its residual is divided by 1 / ||W||^2
    np.testing.assert_allclose(solution.value.weights, expected, atol=1e-8)
    assert solution.certificate["least_norm"].measured < 1e-11
    assert solution.value.rank <= min(N, D)
    mu, support = solution.value.multipliers, solution.value.support
    assert np.all(mu[~support] == 0)
    assert np.array_equal(solution.value.selected, problem.selected)


@pytest.mark.parametrize("seed", range(4))
def test_admm_agrees_with_the_semidefinite_program(seed):
    problem = svm(seed, norm="nuclear")
    ours = certified(problem)
    peer = certified(problem, ConicSVM())
    mine, theirs = (np.linalg.norm(s.value.weights, "nuc") for s in (ours, peer))
    assert mine == pytest.approx(theirs, rel=2e-8)  # the peer's gap
    assert ours.certificate["least_norm"].measured < 1e-10
    frobenius = certified(svm(seed))
    assert ours.value.rank <= frobenius.value.rank
    assert mine <= np.linalg.norm(frobenius.value.weights, "nuc")


@pytest.mark.slow
def test_admm_alone_reaches_the_promise():
    """Without Newton's method, the iteration itself."""
    problem = svm(1, norm="nuclear", gap_tol=1e-6)
    solution = certified(problem, NuclearADMM(polish=False))
    assert solution.stats.steps > 3
    polished = certified(svm(1, norm="nuclear"))
    np.testing.assert_allclose(
        np.linalg.norm(solution.value.weights, "nuc"),
        np.linalg.norm(polished.value.weights, "nuc"),
        rtol=1e-6,
    )


def test_conic_solver_agrees_in_the_frobenius_norm():
    problem = svm(2)
    ours = certified(problem)
    for method in (ConicSVM(), ConicSVM("scs", 1e-9, 100_000)):
        peer = certified(problem, method)
        # strong convexity: distance at most sqrt(2 gap) of the norm
        np.testing.assert_allclose(ours.value.weights, peer.value.weights, atol=1e-5)


def test_padding_plays_no_part():
    tokens, queries, _, _, scores = sequences(N, T, D, 0)
    lengths, high = np.full(N, 3), np.array(scores)
    tokens[:, 3], high[:, 3] = 7.0, 99.0
    problem = AttentionSVM(tokens, queries, scores=high, lengths=lengths)
    assert np.all(problem.selected < 3)
    solution = certified(problem)
    dense = matrices(tokens, queries, problem.selected, lengths)
    expected = least_norm_weights(dense)
    np.testing.assert_allclose(solution.value.weights, expected, atol=1e-8)
    assert np.all(np.isinf(solution.value.margins[:, 3]))
    assert not np.any(solution.value.multipliers[:, 3])


def surrounded(norm="frobenius"):
    """In input 1 the selected token is the mean of the others."""
    tokens, queries, _, _, _ = sequences(N, T, D, 0)
    tokens[1, 0] = tokens[1, 1:].mean(axis=0)
    return AttentionSVM(tokens, queries, np.zeros(N, int), norm=norm)


@pytest.mark.parametrize("norm", ["frobenius", "nuclear"])
def test_impossible_selections_are_proved_impossible(norm):
    problem = surrounded(norm)
    solution = lm.solve(problem, throw=False)
    assert solution.result.name == "infeasible"
    assert solution.certificate.holds
    decision = solution.certificate["no_separation"]
    assert decision.figures["norm cap"] > 1e10  # the mean is rounded: no more is true
    withheld = {w.id for w in solution.certificate.withheld}
    assert "geometry.least_norm/1" in withheld
    mu = solution.value.multipliers
    np.testing.assert_allclose(mu[1, 1:], mu.sum() / 3, rtol=1e-6)


def test_conic_solver_finds_the_same_reason():
    solution = lm.solve(surrounded("nuclear"), ConicSVM(), throw=False)
    assert solution.result.name == "infeasible"
    assert solution.certificate["no_separation"].holds


def test_local_optimality_agrees_with_the_support():
    """The judge's verdict against margins of the vectorised solution."""
    verdicts = set()
    for seed in range(4):
        tokens, queries, _, _, scores = sequences(N, T, D, seed)
        for place in (-1, -2):
            selected = np.argsort(scores, axis=1)[:, place]
            problem = AttentionSVM(tokens, queries, selected, scores=scores)
            certificate = lm.solve(problem).certificate
            dense = matrices(tokens, queries, selected)
            weights = least_norm_weights(dense)
            margins = np.einsum("kab,ab->k", dense, weights).reshape(N, T - 1)
            pairs = zip(scores, selected, strict=True)
            others = np.array([np.delete(s, k) for s, k in pairs])
            chosen = scores[np.arange(N), selected][:, None]
            local = bool(np.all((margins > 1 + 1e-6) | (others < chosen)))
            name = "locally_optimal" if local else "not_locally_optimal"
            assert certificate[name].holds
            verdicts.add(local)
    assert verdicts == {True, False}


def test_one_constraint_less_on_the_host():
    problem = svm(0)
    constraints = problem.constraints()
    rest = np.array(constraints.active)
    rest[0] = False
    found = least_norm(constraints, rest)
    keep = np.arange(1, N)
    dense = matrices(
        problem.tokens[keep], problem.queries[keep], problem.selected[keep]
    )
    assert found is not None
    assert found.feasible
    expected = least_norm_weights(dense)
    np.testing.assert_allclose(found.weights, expected, atol=1e-8)


def test_width_binds_only_what_has_a_larger_rank():
    value = certified(svm(0, norm="nuclear")).value
    for width, good in ((value.rank, True), (value.rank - 1, False)):
        problem = svm(0, norm="nuclear", width=width)
        again = problem.candidate(weights=value.weights, multipliers=value.multipliers)
        decision = lm.certify(problem, again).certificate["attention_rank"]
        assert decision.holds == good
        assert ("width" in decision.detail) != good


def test_foreign_weights_are_judged_with_completed_multipliers():
    problem = svm(3)
    weights = certified(problem).value.weights
    good = lm.certify(problem, problem.candidate(weights=weights))
    assert good.certificate.holds
    for scale in (0.999, 1.001):
        value = problem.candidate(weights=weights * scale)
        found = lm.certify(problem, value).certificate["least_norm"]
        assert not found.holds
    zero = lm.certify(problem, problem.candidate())
    assert not zero.certificate.holds


def test_warm_start_takes_one_step():
    problem = svm(0)
    first = certified(problem)
    again = lm.solve(problem, DualActiveSet(), start=first)
    assert again.stats.steps <= first.stats.steps
    np.testing.assert_allclose(again.value.weights, first.value.weights, atol=1e-12)


def test_differentiable_weights_are_those_of_the_solver():
    problem = svm(0)
    expected = certified(problem).value.weights
    with jax.enable_x64(True):
        found = max_margin_weights(problem.tokens, problem.queries, problem.selected)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)


def test_nuclear_run_resumes_to_the_same_bits(tmp_path):
    problem, method = svm(1, norm="nuclear"), NuclearADMM()
    whole = lm.solve(problem, method)
    path = tmp_path / "run.ckpt"
    lm.solve(problem, method, checkpoint=path, max_steps=1, throw=False)
    resumed = lm.solve(problem, method, checkpoint=path)
    assert np.array_equal(whole.value.weights, resumed.value.weights)
    assert whole.stats.steps == resumed.stats.steps > 1


def test_ties_do_not_matter_where_the_selection_is_given():
    tokens, queries, _, _, scores = sequences(N, T, D, 0)
    flat = np.zeros_like(scores)
    with pytest.raises(InvalidProblem, match="tokens 0 and 1|share"):
        AttentionSVM(tokens, queries, scores=flat)
    solution = lm.solve(AttentionSVM(tokens, queries, np.ones(N, int), scores=flat))
    assert solution.certificate["not_locally_optimal"].holds


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["frobenius", "nuclear"])
@pytest.mark.parametrize("shape", [(6, 8, 10), (15, 10, 12), (4, 5, 4)])
def test_gap_on_many_problems(norm, shape):
    for seed in range(17):
        tokens, queries, _, _, scores = sequences(*shape, seed)
        solution = lm.solve(AttentionSVM(tokens, queries, scores=scores, norm=norm))
        assert solution.certificate["least_norm"].measured <= 1e-8


@pytest.mark.slow
def test_both_norms_agree_with_cvxpy():
    cvxpy = pytest.importorskip("cvxpy")
    for seed in range(5):
        tokens, queries, _, _, scores = sequences(6, 8, 10, seed)
        for norm in ("frobenius", "nuclear"):
            problem = AttentionSVM(tokens, queries, scores=scores, norm=norm)
            dense = matrices(tokens, queries, problem.selected)
            w = cvxpy.Variable((10, 10))
            flat = dense.reshape(len(dense), -1)
            size = cvxpy.sum_squares(w) if norm == "frobenius" else cvxpy.normNuc(w)
            model = cvxpy.Problem(
                cvxpy.Minimize(size), [flat @ cvxpy.vec(w, order="C") >= 1]
            )
            model.solve(solver=cvxpy.CLARABEL)
            found = lm.solve(problem).value.weights
            kind = "fro" if norm == "frobenius" else "nuc"
            expected = np.linalg.norm(w.value, kind)
            assert np.linalg.norm(found, kind) == pytest.approx(expected, rel=1e-6)
            if norm == "frobenius":
                np.testing.assert_allclose(found, w.value, atol=1e-4)


@pytest.mark.slow
def test_ranks_are_ordered():
    """Medians at n = 6: 3 to 4 nuclear, 6 Frobenius."""
    found = []
    for seed in range(20):
        tokens, queries, _, _, scores = sequences(6, 8, 10, seed)
        ranks = [
            lm.solve(AttentionSVM(tokens, queries, scores=scores, norm=norm)).value.rank
            for norm in ("nuclear", "frobenius")
        ]
        assert ranks[0] <= ranks[1] <= 6
        found.append(ranks)
    assert 3 <= np.median(found, axis=0)[0] <= 4
    assert np.median(found, axis=0)[1] == 6


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 8, 7), (7, 3, 7), (6, 7, 6)])
def test_enough_dimensions_make_every_selection_possible(shape):
    n, t, d = shape
    assert d == max(t - 1, n)
    for seed in range(33):
        rng = np.random.default_rng(seed)
        tokens, queries = rng.normal(size=shape), rng.normal(size=(n, d))
        problem = AttentionSVM(tokens, queries, rng.integers(0, t, n))
        assert lm.solve(problem).certificate.holds
