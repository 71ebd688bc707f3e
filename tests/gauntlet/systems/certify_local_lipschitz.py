"""The gauntlet's knowledge of local Lipschitz constants: oracles by enumeration."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lemmata.certify import (
    BoundPropagation,
    BranchAndBound,
    GroupSort,
    LocalLipschitz,
    Monotonicity,
    Network,
    PointSearch,
    from_equinox,
    from_onnx,
)
from lemmata.certify._example_local_lipschitz import small_network
from lemmata.core import run
from tests.certify.exact_lipschitz import layers_of, norm_at, pieces
from tests.gauntlet.conftest import solved_example
from tests.gauntlet.systems import System

SLUG = "certify-local-lipschitz"
CLOSE = 1e-7  # relative; bounds are stated 1e-9 above and below what was found
NETWORK = small_network((2, 4, 3, 2), 8)
QUICK = BoundPropagation(search=PointSearch(candidates=1, steps=1))


def original():
    return solved_example(SLUG).solution.value.pack()


@cache
def truth():
    """Exact constants (r,), and the hull of the Jacobian."""
    problem = solved_example(SLUG).problem.pack()
    layers = layers_of(problem.json["network"], problem.arrays)
    box = (problem.arrays["lower"], problem.arrays["upper"])
    found = np.stack(list(pieces(layers, *box)))
    norms = np.abs(found).sum(axis=2).max(axis=0)
    return layers, norms, found.min(axis=0), found.max(axis=0)


def untouched(value) -> bool:
    """Whether what shows the bounds is as it was: a broken proof proves nothing."""
    return all(
        np.array_equal(value[name], original()[name])
        for name in ("split_tree", "infeasible")
    )


def covers(large, small) -> bool | None:
    """Large >= small everywhere, None where rounding decides."""
    large, small = np.asarray(large), np.asarray(small)
    if np.any(np.abs(large - small) <= CLOSE * np.abs(small)):
        far = np.abs(large - small) > CLOSE * np.abs(small)
        return False if np.any(far & (large < small)) else None
    return bool(np.all(large >= small))


def upper(problem, value, claim):
    if not untouched(value):
        return None
    stated, before = value["lipschitz_upper"], original()["lipschitz_upper"]
    if np.all(stated >= before):
        return True
    return covers(stated, truth()[1])


def attained(problem, value):
    """Norms of row c at point c; False outside the box, None at a kink."""
    norms = []
    for c, point in enumerate(value["witness_points"]):
        box = problem.arrays
        if np.any(point < box["lower"]) or np.any(point > box["upper"]):
            return False
        found = norm_at(truth()[0], point)
        if found is None:
            return None
        norms.append(float(found[c]))
    return np.array(norms)


def lower(problem, value, claim):
    found = attained(problem, value)
    if found is None or found is False:
        return found
    if covers(found, value["lipschitz_lower"]) is False:
        return False
    highest = covers(found.max(), claim["promised"])
    if np.array_equal(value["witness_points"], original()["witness_points"]):
        stated = value["lipschitz_lower"]
        return True if np.all(stated <= original()["lipschitz_lower"]) else None
    return False if highest is False else None


def gap(problem, value, claim):
    found = attained(problem, value)
    if found is None or found is False or not untouched(value):
        return found if found is False else None
    points = "witness_points"
    if np.array_equal(value[points], original()[points]):
        return True
    ratio = (truth()[1] / found).max()
    return False if covers(claim["promised"], ratio) is False else None


def interval(problem, value, claim):
    if not untouched(value):
        return None
    low, high = value["jacobian_lower"], value["jacobian_upper"]
    before = original()
    wide = np.all(low <= before["jacobian_lower"])
    if wide and np.all(high >= before["jacobian_upper"]):
        return True
    inside = np.any(low > truth()[2] + CLOSE) or np.any(high < truth()[3] - CLOSE)
    return False if inside else None


def bounded(centre):
    problem = LocalLipschitz(NETWORK, centre - 0.3, centre + 0.3)
    value, _, _ = run(problem, QUICK, max_steps=1)
    return value.lipschitz_upper


def derivative():
    return lambda x: jnp.sum(bounded(x) * jnp.array([1.0, 0.5])), np.array([0.1, -0.2])


def batch():
    return bounded, np.array([[0.1, -0.2], [-0.5, 0.3]])


def around(**changes):
    arguments = {"network": NETWORK, "lower": [0, 0], "upper": [1, 1]} | changes
    return LocalLipschitz(**arguments)


def recorded(**node):
    content = {"input_shape": [2], "nodes": [{"inputs": [-1]} | node]}
    return Network.of(content, {"w": np.array([[1.0, np.nan]]), "i": np.eye(2)})


SYSTEM = System(
    bad_inputs=(
        ("crossed", lambda: around(lower=[0, 2]), r"\.lower: .*at index 1"),
        ("size", lambda: around(lower=[0, 0, 0]), r"\.lower: .*2 numbers"),
        ("NaN", lambda: around(upper=[1, np.nan]), r"\.upper: .*finite"),
        ("text", lambda: around(upper=["a", "b"]), r"\.upper: .*real numbers"),
        ("output", lambda: around(output=2), r"\.output: .*\[0, 2\)"),
        ("word", lambda: around(output="first"), r"\.output: .*'all'"),
        ("direction", lambda: around(output=[1.0]), r"\.output: .*2 numbers"),
        ("gap", lambda: around(max_gap=1.0), r"\.max_gap: .*> 1"),
        (
            "radius",
            lambda: LocalLipschitz.around(NETWORK, [0, 0], -1.0),
            r"radius: .*>= 0",
        ),
        ("module", lambda: around(network=abs), r"\.network: .*from_equinox"),
        (
            "no layers",
            lambda: Network.of({"input_shape": [2], "nodes": []}, {}),
            r"nodes: expected 1 to",
        ),
        ("weight NaN", lambda: recorded(op="dense", weight="w"), r"\(dense\).*finite"),
        ("max-pool", lambda: recorded(op="max_pool"), r"known op, got 'max_pool'"),
        (
            "max-pool traced",
            lambda: from_equinox(eqx.nn.MaxPool2d(2), (1, 4, 4)),
            r"average pooling",
        ),
        (
            "softmax",
            lambda: from_equinox(jax.nn.softmax, (3,)),
            r"before a softmax",
        ),
        ("empty module", lambda: from_equinox(lambda x: x, (3,)), r"a network"),
        (
            "group sort",
            lambda: around(network=from_equinox(GroupSort(2), (2,))),
            r"group_sort at node 0",
        ),
        ("no file", lambda: from_onnx("/nowhere.onnx"), r"no such file"),
        ("search", lambda: BoundPropagation(search=PointSearch(0)), r"candidates"),
        ("rtol", lambda: BranchAndBound(rtol=0.0), r"\.rtol"),
        (
            "fixed",
            lambda: BranchAndBound(fix_preactivation=1),
            r"\.fix_preactivation: .*bool",
        ),
        (
            "feature",
            lambda: Monotonicity(NETWORK, [0, 0], [1, 1], 0, [2]),
            r"\.features: .*\[0, 2\)",
        ),
    ),
    oracles={
        "certify.local_lipschitz_upper/1": upper,
        "certify.local_lipschitz_lower/1": lower,
        "certify.local_lipschitz_gap/1": gap,
        "certify.jacobian_interval/1": interval,
    },
    derivative=derivative,
    batch=batch,
    easier="network_0_weight",
)
