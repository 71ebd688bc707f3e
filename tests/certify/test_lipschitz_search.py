"""Branch and bound: exact where it prunes, honest where it does not."""

import jax
import numpy as np
import pytest
from checker.tests.networks import dense_network
from tests.certify.exact_lipschitz import layers_of, pieces

import lemmata as lm
from lemmata.certify import (
    Area,
    Babsr,
    BoundPropagation,
    BranchAndBound,
    ExactEnumeration,
    LocalLipschitz,
    Network,
    PointSearch,
    SignPrograms,
)

INNER = BoundPropagation(search=PointSearch(candidates=2, steps=2))
SIZES = [2, 4, 3, 2]  # one shape, compiled once


def instance(seed, radius=1.0, sizes=SIZES):
    rng = np.random.default_rng(seed)
    content, arrays = dense_network(sizes, rng)
    network = Network.of(content, arrays)
    return LocalLipschitz.around(network, 0.3 * rng.normal(size=sizes[0]), radius)


def enumerated(problem):
    packed = problem.pack()
    layers = layers_of(packed.json["network"], packed.arrays)
    found = np.stack(list(pieces(layers, problem.lower, problem.upper)))
    return np.abs(found).sum(axis=2).max(axis=0)


def search(**options):
    return BranchAndBound(INNER, batch_size=16, **options)


def compare_with_enumeration(seeds):
    method = search(prune=SignPrograms(), rtol=1e-8)
    splits = 0
    for seed in seeds:
        problem = instance(seed)
        solution = lm.solve(problem, method, throw=False)
        exact = enumerated(problem)
        # stated 1e-9 above and below; the search stops at 1e-8
        np.testing.assert_allclose(solution.value.lipschitz_upper, exact, rtol=1.2e-8)
        np.testing.assert_allclose(solution.value.lipschitz_lower, exact, rtol=1.2e-8)
        assert solution.result.name == "converged"
        assert solution.certified, str(solution.certificate)
        splits += solution.value.leaves
    return splits


def test_pruned_search_equals_enumeration():
    assert compare_with_enumeration(range(6)) > 40


@pytest.mark.slow
def test_pruned_search_equals_enumeration_on_fifty_networks():
    compare_with_enumeration(range(100, 150))


@pytest.mark.slow
def test_exact_enumeration():
    problem = instance(2)
    solution = lm.solve(problem, ExactEnumeration())
    exact = enumerated(problem)
    np.testing.assert_allclose(solution.value.lipschitz_upper, exact, rtol=1.2e-8)


def test_without_pruning_it_ends_above_and_says_so():
    found = []
    for seed in range(6):
        problem = instance(seed)
        solution = lm.solve(problem, search(), throw=False)
        exact = enumerated(problem)
        assert np.all(solution.value.lipschitz_upper >= exact * (1 - 1e-12))
        assert solution.certified
        above = np.any(solution.value.lipschitz_upper > exact * (1 + 2e-3))
        if above:
            assert "SignPrograms" in solution.result.sentence
        found.append(above)
    assert any(found)


def test_more_steps_never_worsen_a_bound():
    problem = instance(3, radius=2.0)
    trace = lm.solve(problem, search(prune=SignPrograms()), throw=False).stats.trace
    assert len(trace["lipschitz_upper"]) > 3
    assert np.all(np.diff(trace["lipschitz_upper"]) <= 0)
    assert np.all(np.diff(trace["lipschitz_lower"]) >= 0)


def test_the_largest_bound_is_split_first():
    problem, method = instance(3, radius=2.0), search(heuristic=Area(tried=8))
    compared = 0
    with jax.enable_x64(True):
        state = method.init(problem, jax.random.key(0))
        for _ in range(8):  # 16 domains at once, 8 neurons tried: one domain a step
            excess, parents = state.excess(), state.open.node
            leaves = state.neuron
            state = method.step(problem, state)
            (split,) = np.flatnonzero(state.neuron[: len(leaves)] != leaves)
            assert excess[parents == split] == np.max(excess)
            compared += len(np.unique(excess)) > 1
    assert compared > 4


def test_a_step_leaves_the_state_before_it_alone():
    problem, method = instance(3, radius=2.0), search(prune=SignPrograms())
    with jax.enable_x64(True):
        state = method.init(problem, jax.random.key(0))
        for _ in range(4):
            before = {n: a.copy() for n, a in state.to_arrays().items()}
            after = method.step(problem, state)
            for name, array in state.to_arrays().items():
                np.testing.assert_array_equal(array, before[name], err_msg=name)
            state = after
    assert len(state.infeasible)


@pytest.mark.slow  # each compiles anew
@pytest.mark.parametrize("heuristic", [Babsr(), Area(tried=3)])
def test_other_heuristics_reach_the_same_constant(heuristic):
    problem = instance(1)
    method = search(heuristic=heuristic, prune=SignPrograms(), rtol=1e-8)
    solution = lm.solve(problem, method, throw=False)
    exact = enumerated(problem)
    np.testing.assert_allclose(solution.value.lipschitz_upper, exact, rtol=1.2e-8)
    assert solution.certified


def test_a_limit_is_named_and_the_bound_holds():
    problem = instance(3, radius=2.0)
    solution = lm.solve(problem, search(max_domains=6), throw=False)
    assert solution.result.name == "max_domains"
    assert solution.certified
    with pytest.raises(lm.core.NotConverged, match="max_domains"):
        lm.solve(problem, search(max_domains=6))


def test_smooth_networks_have_nothing_to_split():
    rng = np.random.default_rng(0)
    network = Network.of(*dense_network([2, 3, 2], rng, "tanh"))
    problem = LocalLipschitz.around(network, [0.0, 0.0], 0.5)
    solution = lm.solve(problem, search(), throw=False)
    assert solution.certified
    assert solution.value.split_tree is None
    assert "No domain is left" in solution.result.sentence


def test_a_missing_leaf_or_a_swapped_split_is_refused():
    problem = instance(1)
    method = search(prune=SignPrograms(), rtol=1e-8)
    value = lm.solve(problem, method, throw=False).value
    packed = value.pack()
    tree = packed["split_tree"]
    assert tree.size > 5
    for place in range(tree.size):
        forged = problem.value_from(packed | {"split_tree": np.delete(tree, place)})
        assert not lm.certify(problem, forged).certified
    wrong = tree.copy()
    first = int(np.flatnonzero(tree >= 0)[0])
    wrong[first] = (wrong[first] + 1) % 7
    forged = problem.value_from(packed | {"split_tree": wrong})
    assert not lm.certify(problem, forged).certified
