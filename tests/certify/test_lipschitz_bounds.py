"""One-pass bounds: their order, their truth, and that the judge finds the same."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checker.tests.networks import dense_network, image_network

import lemmata as lm
from lemmata.certify import (
    BoundPropagation,
    GlobalProduct,
    IntervalJacobian,
    LocalLipschitz,
    Network,
    PointSearch,
    RecurJac,
)
from lemmata.core import InvalidProblem
from lemmata.numerics.linear_bounds import bound_values, gradient_rows, product_bound
from lemmata_checker.network import network_of
from lemmata_checker.rules._certify_lipschitz_gradients import Gradients
from lemmata_checker.rules._certify_lipschitz_values import Values

SEARCH = PointSearch(candidates=4, steps=2)
FOUR = (BoundPropagation, RecurJac, IntervalJacobian, GlobalProduct)


@eqx.filter_jit
def norms(network, lower, upper):
    """All four upper bounds (4, K), and norms at random points."""
    rows = jnp.eye(network.outputs)
    values = bound_values(network, lower, upper)
    kinds = ("envelope", "constant", "interval")
    found = [gradient_rows(network, values, rows, kind) for kind in kinds]
    product = jax.vmap(lambda v: product_bound(network, v))(rows)
    return jnp.stack([f.norm for f in found] + [product]), found[0]


def slopes_at(network, points):
    """l_1 norms of the Jacobian's rows (n, K)."""
    return np.abs(np.asarray(_jacobians(network, points))).sum(axis=2)


@eqx.filter_jit
def _jacobians(network, points):
    return jax.vmap(jax.jacrev(network))(points)


@pytest.mark.parametrize("op", ["relu", pytest.param("tanh", marks=pytest.mark.slow)])
def test_order_of_the_four_bounds(op):
    """Ours <= RecurJac <= interval <= product, and none below a sampled norm."""
    rng = np.random.default_rng(0)
    count = 200 if op == "relu" else 10
    for i in range(count):
        network = Network.of(*dense_network([4, 6, 5, 3], rng, op))
        centre, radius = rng.normal(size=4), 10.0 ** rng.uniform(-2, 0)
        with jax.enable_x64(True):
            four, _ = norms(network, centre - radius, centre + radius)
            points = centre + radius * rng.uniform(-1, 1, size=(20, 4))
            sampled = slopes_at(network, points).max(axis=0)
        four = np.asarray(four)
        # a linear relaxation promises no order; rounding: 1e-9
        assert np.all(four[:-1] <= four[1:] * (1 + 1e-9)), i
        assert np.all(sampled <= four[0] * (1 + 1e-12)), i


def test_the_judge_has_the_same_bounds():
    """Two programs that share no line agree to rounding, for every activation."""
    rng = np.random.default_rng(1)
    for op, options in (
        ("relu", {}),
        ("leaky_relu", {"slope": 0.3}),
        ("sigmoid", {}),
        ("tanh", {}),
        ("softplus", {}),
    ):
        content, arrays = dense_network([4, 6, 5, 3], rng, op, **options)
        network, centre = Network.of(content, arrays), rng.normal(size=4)
        for radius in (0.0, 0.1, 1.0):
            lower, upper = centre - radius, centre + radius
            with jax.enable_x64(True):
                four, ours = norms(network, lower, upper)
            values = Values(network_of(content, arrays), (lower, upper), {})
            judge = Gradients(values, np.eye(3))
            excess = judge.norm / np.asarray(four[0]) - 1
            assert np.all(np.abs(excess) < 1e-11), op
            np.testing.assert_allclose(judge.entries[0], ours.lower, atol=1e-11)
            np.testing.assert_allclose(judge.entries[1], ours.upper, atol=1e-11)


def test_a_point_has_the_norm_of_its_gradient():
    network = Network.of(*dense_network([4, 6, 5, 3], np.random.default_rng(2)))
    centre = np.random.default_rng(3).normal(size=4)
    problem = LocalLipschitz.around(network, centre, 0.0)
    solution = lm.solve(problem, BoundPropagation(search=SEARCH))
    with jax.enable_x64(True):
        exact = slopes_at(network, centre[None])[0]
    # stated with 1e-9 of room on either side
    np.testing.assert_allclose(solution.value.lipschitz_upper, exact, rtol=1.1e-9)
    np.testing.assert_allclose(solution.value.lipschitz_lower, exact, rtol=1.1e-9)
    withheld = [w.id for w in solution.certificate.withheld]
    assert withheld == ["certify.local_lipschitz_sandwich/1"]


@cache
def solved(method, op="relu", output="all"):
    rng = np.random.default_rng(4)
    network = Network.of(*dense_network([4, 6, 5, 3], rng, op))
    problem = LocalLipschitz.around(network, rng.normal(size=4), 0.3, output)
    return lm.solve(problem, method(search=SEARCH))


def test_every_method_is_certified_and_ordered():
    found = [solved(method) for method in FOUR]
    assert all(s.certified for s in found)
    tops = [float(s.value.lipschitz_upper.max()) for s in found]
    assert tops == sorted(tops)
    # the judge shows the tight bound, whoever states a loose one
    shown = [s.certificate["local_lipschitz_upper"].measured for s in found]
    assert max(shown) == min(shown) <= tops[0]


def test_one_output_and_a_direction():
    """A direction is one row: never above the sum of the two bounds."""
    every = solved(BoundPropagation).value.lipschitz_upper
    one = solved(BoundPropagation, output=1).value.lipschitz_upper
    np.testing.assert_allclose(one, every[1:2], rtol=1e-12)
    network = solved(BoundPropagation).problem.network
    lower, upper = (
        getattr(solved(BoundPropagation).problem, s) for s in ("lower", "upper")
    )
    problem = LocalLipschitz(network, lower, upper, [1.0, -1.0, 0.0])
    solution = lm.solve(problem, BoundPropagation(search=SEARCH))
    assert solution.certified
    assert solution.value.lipschitz_upper[0] <= every[0] + every[1]


@pytest.mark.slow  # compiles for long
def test_better_slopes_are_never_worse():
    rng = np.random.default_rng(6)
    network = Network.of(*dense_network([3, 8, 8, 8, 2], rng))
    problem = LocalLipschitz.around(network, rng.normal(size=3), 0.5)
    plain = lm.solve(problem, BoundPropagation(search=SEARCH))
    better = lm.solve(problem, BoundPropagation(True, 10, search=SEARCH))
    assert better.certified
    assert better.value.slopes
    gain = better.value.lipschitz_upper / plain.value.lipschitz_upper
    assert np.all(gain <= 1 + 1e-9)
    assert gain.min() < 0.995


@pytest.mark.slow  # compiles for long
@pytest.mark.parametrize("op", ["relu", "softplus"])
def test_images_residuals_concatenation(op):
    rng = np.random.default_rng(7)
    network = Network.of(*image_network(rng, op))
    problem = LocalLipschitz.around(network, rng.normal(size=32), 0.1)
    solution = lm.solve(problem, BoundPropagation(search=SEARCH))
    assert solution.certified, str(solution.certificate)
    interval = lm.solve(problem, IntervalJacobian(search=SEARCH))
    assert np.all(solution.value.lipschitz_upper <= interval.value.lipschitz_upper)


@pytest.mark.slow  # compiles for long
def test_convolution_equals_its_dense_form():
    """The same network with its convolution written out as a matrix."""
    rng = np.random.default_rng(8)
    kernel = rng.normal(size=(2, 1, 3, 3))
    conv = {"op": "conv", "inputs": [-1], "weight": "network_0_weight", "groups": 1}
    conv |= {"stride": [1, 2], "dilation": [1, 1], "padding": [[1, 1], [0, 1]]}
    tail = rng.normal(size=(2, 16))

    def network(first, arrays, shape):
        nodes = [
            first,
            {"op": "relu", "inputs": [0]},
            {"op": "reshape", "inputs": [1], "shape": [16]},
            {"op": "dense", "inputs": [2], "weight": "network_3_weight"},
        ]
        if shape == [16]:
            nodes = [nodes[0], nodes[1], nodes[3] | {"inputs": [1]}]
        content = {"input_shape": shape, "nodes": nodes}
        return Network.of(content, arrays | {"network_3_weight": tail})

    image = network(conv, {"network_0_weight": kernel}, [1, 4, 4])
    with jax.enable_x64(True):
        matrix = np.asarray(image.linear(0, [jnp.eye(16).reshape(16, 1, 4, 4)]))
    matrix = matrix.reshape(16, -1).T
    dense = {"op": "dense", "inputs": [-1], "weight": "network_0_weight"}
    flat = network(dense, {"network_0_weight": matrix}, [16])
    centre = rng.normal(size=16)
    with jax.enable_x64(True):
        one, _ = norms(image, centre - 0.2, centre + 0.2)
        two, _ = norms(flat, centre - 0.2, centre + 0.2)
    # products of norms differ: a padded convolution sees every row, a matrix its own
    np.testing.assert_allclose(one[:3], two[:3], rtol=1e-9)


def test_a_lowered_foreign_bound_is_refused():
    solution = solved(BoundPropagation)
    problem, high = solution.problem, solution.value.lipschitz_upper
    good = problem.candidate(lipschitz_upper=high)
    assert lm.certify(problem, good).certificate["local_lipschitz_upper"].holds
    bad = problem.candidate(lipschitz_upper=high * [1, 1 - 1e-6, 1])
    assert not lm.certify(problem, bad).certified
    # an estimate from samples, stated as a bound
    sampled = problem.candidate(lipschitz_upper=solution.value.lipschitz_lower)
    assert not lm.certify(problem, sampled).certified


def test_points_of_the_search_lie_in_the_box():
    """Also where lower + (upper - lower) rounds above upper."""
    network = solved(BoundPropagation).problem.network
    rng = np.random.default_rng(10)
    for _ in range(3):
        centre = rng.normal(size=4)
        problem = LocalLipschitz.around(network, centre, rng.uniform(0, 1, size=4))
        value = lm.solve(problem, BoundPropagation(search=SEARCH), throw=False).value
        points = np.asarray(value.witness_points)
        assert np.all((problem.lower <= points) & (points <= problem.upper))


def test_dead_networks_have_the_bound_zero():
    content, arrays = dense_network([2, 3, 2], np.random.default_rng(0))
    arrays = {name: np.zeros_like(array) for name, array in arrays.items()}
    arrays["network_0_bias"] -= 1.0
    problem = LocalLipschitz(Network.of(content, arrays), [0, 0], [1, 1])
    solution = lm.solve(problem, BoundPropagation(search=SEARCH))
    assert solution.certified, str(solution.certificate)
    assert np.all(solution.value.lipschitz_upper < 1e-280)


@pytest.mark.slow
def test_no_false_bound_on_many_networks():
    """200 networks and boxes of several shapes; the judge's word on each."""
    rng = np.random.default_rng(9)
    for i in range(200):
        network = Network.of(*dense_network([3, 5, 4, 3], rng))
        problem = LocalLipschitz.around(network, rng.normal(size=3), rng.uniform(0, 1))
        solution = lm.solve(problem, BoundPropagation(search=SEARCH), throw=False)
        assert solution.certificate["local_lipschitz_upper"].holds, i
        assert solution.certificate["local_lipschitz_lower"].holds, i


def test_one_output_is_data():
    """Code compiled for one output serves the others, and vmap goes over them."""
    lower, upper = -0.1 * np.ones(4), 0.1 * np.ones(4)
    network = solved(BoundPropagation).problem.network
    problems = [LocalLipschitz(network, lower, upper, c) for c in range(3)]
    static = [eqx.partition(p, eqx.is_array)[1] for p in problems]
    assert eqx.tree_equal(*static)
    assert [p.pack().json["output"] for p in problems] == [0, 1, 2]
    again = LocalLipschitz(network, lower, upper, problems[2].output)
    np.testing.assert_array_equal(again.rows, np.eye(3)[[2]])

    @eqx.filter_jit
    @jax.vmap
    def bounds(c):
        problem = LocalLipschitz(network, lower, upper, c)
        values = bound_values(network, problem.lower, problem.upper)
        return gradient_rows(network, values, problem.rows, "interval").norm[0]

    with jax.enable_x64(True):
        found = np.asarray(bounds(jnp.arange(3)))
        expected = np.asarray(norms(network, lower, upper)[0][2])
    # the order of sums may differ
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert len(set(found.tolist())) == 3


@pytest.mark.parametrize("output", [-1, 3, 2**70, np.int64(3), np.asarray(-1)])
def test_an_output_that_there_is_not_is_refused(output):
    network = solved(BoundPropagation).problem.network
    with pytest.raises(InvalidProblem, match=rf"output: .*\[0, 3\).*got '?{output}"):
        LocalLipschitz(network, np.zeros(4), np.ones(4), output)
