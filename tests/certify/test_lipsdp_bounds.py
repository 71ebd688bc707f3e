"""Global Lipschitz bounds against theory, brute force, other forms and solvers."""

import numpy as np
import pytest
from tests.certify.exact_lipsdp import brute_force

import lemmata as lm
from lemmata.certify import (
    SCS,
    AllMultipliers,
    BruteForce,
    CompositeReLU,
    DiagonalOnly,
    Eliminated,
    GlobalLipschitz,
    ImplicitLipschitz,
    LipSDP,
    MaxMin,
    Network,
    NormProduct,
    Reduced,
    _lipsdp,
)
from lemmata.certify._example_lipsdp import dense_network
from lemmata.numerics import conic

MAXMIN = {"op": "group_sort", "size": 2}
HOUSEHOLDER = {"op": "householder"}
SIZES = (3, 4, 4, 2)


def bound(problem, method=None):
    solution = lm.solve(problem, method)
    assert solution.certified
    return float(solution.value.lipschitz_upper)


def identity(weight_out=None):
    nodes = [
        {"op": "dense", "inputs": [-1], "weight": "a"},
        {"op": "group_sort", "inputs": [0], "size": 2},
        {"op": "dense", "inputs": [1], "weight": "b"},
    ]
    arrays = {"a": np.eye(2), "b": np.eye(2) if weight_out is None else weight_out}
    return Network.of({"input_shape": [2], "nodes": nodes}, arrays)


def residual(weight):
    """x + MaxMin(W x)."""
    nodes = [
        {"op": "dense", "inputs": [-1], "weight": "w"},
        {"op": "group_sort", "inputs": [0], "size": 2},
        {"op": "add", "inputs": [-1, 1]},
    ]
    content = {"input_shape": [len(weight)], "nodes": nodes}
    return Network.of(content, {"w": np.asarray(weight)})


def test_identity_maxmin_identity_is_one():
    """A permutation: constant 1, which the reduced form finds and ReLUs do not."""
    problem = GlobalLipschitz(identity())
    assert bound(problem, LipSDP(Reduced())) == pytest.approx(1, abs=1e-6)
    composite = bound(problem, LipSDP(CompositeReLU()))
    assert composite == pytest.approx(2**0.5, abs=1e-6)


@pytest.mark.parametrize("a", [0.5, -0.5, 0.9])
def test_scalar_equilibrium(a):
    """z = relu(a z + x) rises at 1 / (1 - a)."""
    problem = ImplicitLipschitz([[a]], [[1.0]], [[1.0]])
    assert bound(problem) == pytest.approx(1 / (1 - a), rel=1e-6)


def test_unstable_equilibrium_gets_no_bound():
    """z = relu(1.5 z + x) has two solutions for x = -1: nothing may be certified."""
    solution = lm.solve(ImplicitLipschitz([[1.5]], [[1.0]], [[1.0]]), throw=False)
    assert not solution.certificate["implicit_lipschitz_l2"].holds
    assert "certify.well_posed/1" in {w.id for w in solution.certificate.withheld}


def test_implicit_layer_of_sorted_pairs():
    rng = np.random.default_rng(0)
    weight = 0.3 * rng.normal(size=(4, 4))
    parts = weight, rng.normal(size=(4, 2)), rng.normal(size=(2, 4))
    found = bound(ImplicitLipschitz(*parts, activation=MaxMin()))
    x = rng.normal(size=(2, 400, 2))
    z = np.zeros((2, 400, 4))
    for _ in range(400):  # |W| < 1: the fixed-point iteration contracts
        pre = z @ weight.T + x @ parts[1].T
        z = -np.sort(-pre.reshape(2, 400, 2, 2), axis=3).reshape(z.shape)
    y = z @ parts[2].T
    ratios = np.linalg.norm(y[0] - y[1], axis=1) / np.linalg.norm(x[0] - x[1], axis=1)
    assert ratios.max() <= found


def test_forms_are_ordered():
    """Truth <= eliminated <= reduced <= diagonal <= product of norms."""
    problem = GlobalLipschitz(dense_network(SIZES, MAXMIN, 1))
    packed = problem.pack()
    truth = brute_force(packed.json["network"], packed.arrays)
    found = [
        bound(problem, LipSDP(c)) for c in (Eliminated(), Reduced(), DiagonalOnly())
    ]
    found = [truth, *found, bound(problem, NormProduct())]
    assert all(a <= b * (1 + 1e-7) for a, b in zip(found, found[1:], strict=False))
    assert bound(problem, BruteForce()) == pytest.approx(truth, rel=1e-8)
    # all multipliers together are ill conditioned
    every = bound(problem, LipSDP(AllMultipliers()))
    assert every == pytest.approx(found[1], rel=1e-3)


def test_own_method_and_clarabel_agree():
    problem = GlobalLipschitz(dense_network(SIZES, MAXMIN, 1))
    # both gaps are 1e-8 relative, and 1e-9 is added
    assert bound(problem) == pytest.approx(bound(problem, LipSDP()), rel=1e-7)


def test_chain_of_the_reduced_form():
    """With S = P = 0 the inequality is a chain of blocks, semidefinite and tight."""
    network = dense_network(SIZES, MAXMIN, 1)
    solution = lm.solve(GlobalLipschitz(network), LipSDP(Reduced()))
    value, weights = solution.value, [w for w in network.weights if w is not None]
    lam, gam = value.multipliers.reshape(2, 2), value.coupling[:, 0].reshape(2, 2)
    blocks = [float(value.lipschitz_upper) ** 2 * np.eye(3)]
    for a, b in zip(lam, gam, strict=True):
        blocks.append(
            np.kron(np.diag(a), np.eye(2)) + np.kron(np.diag(b), np.ones((2, 2)))
        )
    blocks.append(np.eye(2))
    least = [
        np.linalg.eigvalsh(outer - w.T @ inner @ w)[0] / np.linalg.norm(outer)
        for outer, w, inner in zip(blocks, weights, blocks[1:], strict=False)
    ]
    assert min(least) > 0
    assert max(least) < 1e-6  # each block is at its boundary: none could be smaller


def test_householder_pairs_are_sorted_pairs():
    vectors = np.tile([1.0, -1.0], (2, 2, 1))
    one = GlobalLipschitz(dense_network(SIZES, MAXMIN, 2))
    other = GlobalLipschitz(dense_network(SIZES, HOUSEHOLDER, 2, vectors))
    assert bound(one, LipSDP()) == pytest.approx(bound(other, LipSDP()), rel=1e-8)


@pytest.mark.slow
def test_length_of_householder_vectors_does_not_matter():
    vectors = np.random.default_rng(0).normal(size=(2, 1, 4))
    found = [
        bound(
            GlobalLipschitz(dense_network(SIZES, HOUSEHOLDER, 2, scale * vectors)),
            LipSDP(),
        )
        for scale in (1.0, 1e6)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-8)


@pytest.mark.slow
def test_relu_is_scaled_by_its_slopes():
    """A sigmoid has slopes in [0, 1/4], a ReLU in [0, 1]: factor 4 per hidden layer."""
    steep = bound(
        GlobalLipschitz(dense_network((3, 4, 2), {"op": "relu"}, 3)), LipSDP()
    )
    flat = bound(
        GlobalLipschitz(dense_network((3, 4, 2), {"op": "sigmoid"}, 3)), LipSDP()
    )
    assert steep == pytest.approx(4 * flat, rel=1e-7)


def test_residual_layer_equals_brute_force():
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(4, 4)) / 2
    found = bound(GlobalLipschitz(residual(weight)), LipSDP())
    swap = np.eye(2)[::-1]
    truth = 0.0
    for a in (np.eye(2), swap):
        for b in (np.eye(2), swap):
            p = np.zeros((4, 4))
            p[:2, :2], p[2:, 2:] = a, b
            truth = max(truth, np.linalg.norm(np.eye(4) + p @ weight, 2))
    # the all-multiplier bound is exact on most such layers (Pauli et al.)
    assert truth * (1 - 1e-9) <= found <= truth * (1 + 1e-6)


@pytest.mark.slow
def test_linf_of_one_output():
    problem = GlobalLipschitz(dense_network(SIZES, MAXMIN, 1), "linf", 0)
    packed = problem.pack()
    truth = brute_force(
        packed.json["network"], packed.arrays, lambda j: np.abs(j[0]).sum()
    )
    found = bound(problem, LipSDP())
    assert truth * (1 - 1e-9) <= found <= bound(problem, NormProduct())
    assert bound(problem, BruteForce()) == pytest.approx(truth, rel=1e-8)


def test_cuts_multiply():
    """Cut after the first activation: W_1 alone, times the rest."""
    network = dense_network((3, 4, 2), MAXMIN, 1)
    first, last = (w for w in network.weights if w is not None)
    found = bound(GlobalLipschitz(network), LipSDP(cuts=(1,)))
    product = np.linalg.norm(first, 2) * np.linalg.norm(last, 2)
    assert found == pytest.approx(product, rel=1e-7)


def test_a_loose_solver_still_leaves_a_proof():
    problem = GlobalLipschitz(dense_network(SIZES, MAXMIN, 1))
    loose = bound(problem, LipSDP(solver=SCS(tol=1e-2)))
    assert (
        bound(problem, LipSDP()) * (1 - 1e-8) <= loose <= bound(problem, NormProduct())
    )


@pytest.mark.parametrize("nonsense", ["negative", "huge", "nan", "random"])
def test_nonsense_multipliers_never_make_a_bound(monkeypatch, nonsense):
    """Whatever a solver returns: a true bound, or a claim that fails."""
    problem = GlobalLipschitz(dense_network(SIZES, MAXMIN, 1))
    packed = problem.pack()
    truth = brute_force(packed.json["network"], packed.arrays)

    def solver(program, **_):
        rng = np.random.default_rng(0)
        n = program.linear.size
        x = {
            "negative": -np.ones(n),
            "huge": np.full(n, 1e200),
            "nan": np.full(n, np.nan),
            "random": rng.normal(size=n),
        }[nonsense]
        return conic.ConeAnswer(x, np.zeros(program.rhs.size), "solved", 1, 0.0)

    monkeypatch.setattr("lemmata.certify._conic_solution.solve_cone_program", solver)
    solution = lm.solve(problem, LipSDP(), throw=False)
    held = solution.certificate["global_lipschitz_l2"].holds
    assert not held or float(solution.value.lipschitz_upper) >= truth
    assert _lipsdp.REPAIRS[-1] <= 1e-2


def test_larger_values_and_shapes_survive():
    """Weights of 1e60 and 1e-60: scaling changes nothing but the bound."""
    network = dense_network(SIZES, MAXMIN, 1)
    weights = list(network.weights)
    weights[0], weights[2] = weights[0] * 2.0**200, weights[2] * 2.0**-200
    scaled = Network(network.input_shape, network.nodes, tuple(weights), network.biases)
    one, two = (bound(GlobalLipschitz(n)) for n in (network, scaled))
    assert one == pytest.approx(two, rel=1e-7)
