"""Trees of splits, empty leaves and slopes: what shows a bound, and what does not."""

import numpy as np
import pytest
from checker.tests.lipschitz_answers import UPPER, answer, holds
from checker.tests.networks import dense_network, exact_rows


def tree_of(parts, tree, **changes):
    tree = np.asarray(tree, dtype=np.int64)
    return holds(UPPER, 1e9, parts, split_tree=tree, **changes)


def test_trees_are_complete_or_refused():
    parts = answer()
    assert tree_of(parts, [-1, -1]).holds
    assert tree_of(parts, [0, -1, -1, -1]).holds
    for wrong in ([-1], [-1, -1, -1], [0, -1, -1], [0, -1], [99, -1, -1, -1], []):
        assert not tree_of(parts, wrong).holds
    assert not tree_of(parts, [-2, -1]).holds, "an empty leaf without multipliers"


def test_splits_lower_the_bound_and_cover_both_signs():
    """Every split of one neuron: never above the root, never below sampled norms."""
    content, arrays, value, lower, upper = answer(radius=1.0, seed=5)
    rng = np.random.default_rng(0)
    norms = []
    for _ in range(300):
        exact = exact_rows(content, arrays, rng.uniform(lower, upper))
        norms.append([float(sum(map(abs, row))) for row in exact[1]])
    best = np.max(norms, axis=0)
    root = holds(UPPER, 1e9, (content, arrays, value, lower, upper)).measured
    gains = []
    for neuron in range(9):
        tree = [neuron, -1, -1, neuron, -1, -1]
        found = tree_of((content, arrays, value, lower, upper), tree)
        assert best.max() <= found.measured <= root
        gains.append(root - found.measured)
    assert max(gains) > 1e-3 * root


def test_false_emptiness_is_refused():
    """Multipliers that do not show emptiness, negative ones, and the wrong shape."""
    parts = answer(radius=1.0, seed=5)
    tree = [0, -1, -2, -1]
    rng = np.random.default_rng(0)
    for table in (
        np.zeros((1, 9)),
        np.eye(9)[:1],
        -np.eye(9)[:1],
        rng.uniform(size=(1, 9)),
        np.ones((1, 8)),
        np.full((1, 9), np.nan),
    ):
        assert not tree_of(parts, tree, infeasible=table).holds


def test_true_emptiness_is_accepted():
    """Neurons x and -x - 0.5 cannot both be on: y = (1, 1) shows it."""
    arrays = {
        "network_0_weight": np.array([[1.0], [-1.0]]),
        "network_0_bias": np.array([0.0, -0.5]),
        "network_2_weight": np.array([[1.0, -1.0]]),
        "network_2_bias": np.zeros(1),
    }
    content, _ = dense_network([1, 2, 1], np.random.default_rng(0))
    one = np.ones(1)
    value = {"lipschitz_upper": one * (1 + 1e-12), "infeasible": np.ones((1, 2))}
    value["split_tree"] = np.array([0, 1, -2, -1, -1])
    parts = (content, arrays, value, -one, one)
    assert holds(UPPER, 1 + 1e-12, parts).holds
    value["split_tree"] = np.array([0, 1, -1, -1, -2])
    assert not holds(UPPER, 1 + 1e-12, parts).holds


@pytest.mark.parametrize("wrong", [-1e-9, 1 + 1e-9, np.nan])
def test_slopes_outside_are_refused(wrong):
    parts = answer()
    good = np.full((2, 4, 5), 0.5)
    assert holds(UPPER, 1e9, parts, slopes_3_1=good).holds
    bad = good.copy()
    bad[1, 2, 3] = wrong
    assert not holds(UPPER, 1e9, parts, slopes_3_1=bad).holds
    for name in ("slopes_1_3", "slopes_3_2", "slopes_2_1", "slopes_9_1"):
        assert not holds(UPPER, 1e9, parts, **{name: good}).holds
