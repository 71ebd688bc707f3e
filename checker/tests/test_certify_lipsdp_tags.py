"""An activation presented as another: multipliers then show what is true, or nothing.

One hidden layer diag(1, 1/100) and one output. Sorting keeps the sum of a pair,
reflecting may turn it; where one layer's constant is far below the other's, multipliers
of the former must not show that bound for the latter.
"""

import numpy as np
import pytest
from checker.tests.exact_lipsdp import case_of

from lemmata_checker.case import decide

L2 = "certify.global_lipschitz_l2/1"
WEIGHT = np.diag([1.0, 0.01])
SWAP = np.eye(2)[::-1]


def network(op, output, v):
    """The layer with this activation, and its constant."""
    node, arrays = {"op": op, "inputs": [0]}, {"a": WEIGHT, "b": np.array([output])}
    if op == "group_sort":
        node, other = node | {"size": 2}, SWAP
    else:
        node["weight"], arrays["v"] = "v", np.array([v])
        other = np.eye(2) - 2 * np.outer(v, v) / np.dot(v, v)
    nodes = [
        {"op": "dense", "inputs": [-1], "weight": "a"},
        node,
        {"op": "dense", "inputs": [1], "weight": "b"},
    ]
    patterns = (np.eye(2), other)
    truth = max(np.linalg.norm(arrays["b"] @ p @ WEIGHT, 2) for p in patterns)
    return {"input_shape": [2], "nodes": nodes}, arrays, truth


def shown(content, arrays, **value):
    """The bound that a value shows, inf if none."""
    case = case_of(content, arrays, lipschitz_upper=1e9, **value)
    found = decide(L2, 1e9, case)
    return found.measured if found.holds else np.inf


# a reflection that sends (1, 1) to (sqrt 2, 0), and one that turns the first sign
TURNED = np.array([np.sqrt(2) - 1, -1.0])
FIRST = np.array([1.0, 0.0])


@pytest.mark.parametrize(
    ("solved", "posed", "output", "v"),
    [
        ("group_sort", "householder", (1.0, 1.0), TURNED),
        ("householder", "group_sort", (0.0, 1.0), FIRST),
    ],
)
def test_multipliers_of_another_activation_are_refused(solved, posed, output, v):
    """The best multipliers of one layer, presented for the other."""
    content, arrays, small = network(solved, output, v)
    scan = [np.array([x]) for x in np.geomspace(1e-6, 1e2, 150)]
    found = [shown(content, arrays, multipliers=x) for x in scan]
    best = int(np.argmin(found))
    # one multiplier per group: the scan's step is 13%
    assert small <= found[best] <= 1.1 * small
    content, arrays, large = network(posed, output, v)
    assert large > 1.3 * small
    value = {"multipliers": scan[best], "lipschitz_upper": found[best]}
    assert not decide(L2, found[best], case_of(content, arrays, **value)).holds
    # nor do any other multipliers show it
    assert min(shown(content, arrays, multipliers=x) for x in scan) >= large


@pytest.mark.parametrize("op", ["group_sort", "householder"])
def test_no_coupling_shows_less_than_the_truth(op):
    """Gamma, nu, tau vanish for one activation alone; for the other they cost."""
    rng = np.random.default_rng(0)
    content, arrays, truth = network(op, (1.0, 1.0), TURNED)
    form, some = np.asarray(1), 0
    for _ in range(300):
        multipliers, coupling = rng.uniform(0, 4, size=1), rng.normal(size=(1, 3))
        found = shown(
            content, arrays, multipliers=multipliers, coupling=coupling, form=form
        )
        assert found >= truth
        some += np.isfinite(found)
    assert some > 10
