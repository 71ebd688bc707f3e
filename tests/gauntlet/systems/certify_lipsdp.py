"""The gauntlet's knowledge of global Lipschitz constants: patterns, and eigenvalues."""

import jax
import numpy as np

from lemmata.certify import (
    SCS,
    CompositeReLU,
    Eigenvalue,
    GlobalLipschitz,
    ImplicitLipschitz,
    LipSDP,
    MaxMin,
    Network,
    from_equinox,
    from_onnx,
)
from lemmata.certify._example_lipsdp import dense_network
from lemmata.core import run, solve
from tests.certify.exact_lipsdp import (
    brute_force,
    eliminated_slack,
    jacobians,
    layers_of,
)
from tests.gauntlet.conftest import solved_example
from tests.gauntlet.systems import System

SLUG = "certify-lipsdp"
CLOSE = 1e-7  # relative; bounds are stated 1e-9 above what was found
TINY = dense_network((2, 4, 2), {"op": "group_sort", "size": 2}, 3)
METHOD = Eigenvalue(rtol=1e-11)


def original():
    return solved_example(SLUG).solution.value.pack()


def is_shown(problem, value, bound):
    """Whether the multipliers show a bound, None where rounding decides."""
    if value["form"] != 0:
        return None
    if np.any(value["multipliers"] < 0):
        return False
    parts = (problem.json["network"], problem.arrays, value["multipliers"])
    high, low = (eliminated_slack(*parts, bound * (1 + s * CLOSE)) for s in (1, -1))
    if low > 1e-14:
        return True
    return False if high < -1e-14 else None


def upper(problem, value, claim):
    """The stated figure must be shown; the promise, too."""
    bound = min(claim["promised"], float(value["lipschitz_upper"]))
    if bound < brute_force(*layers(problem)) * (1 - CLOSE):
        return False if value["form"] == 0 else None
    return is_shown(problem, value, bound)


def layers(problem):
    return problem.json["network"], problem.arrays


def lower(problem, value, claim):
    """The network at both points, in extended precision."""
    content, arrays = layers(problem)
    outputs = [evaluate(content, arrays, x) for x in value["pair"]]
    apart = np.longdouble(value["pair"][0]) - value["pair"][1]
    change = outputs[0] - outputs[1]
    ratio = float(np.sqrt(np.sum(change**2) / np.sum(apart**2)))
    bound = max(claim["promised"], float(value["lipschitz_lower"]))
    if abs(ratio - bound) <= CLOSE * bound:
        same = np.array_equal(value["pair"], original()["pair"])
        tight = float(value["lipschitz_lower"]) <= float(original()["lipschitz_lower"])
        return True if same and tight else None
    return ratio > bound


def evaluate(content, arrays, x):
    x = np.longdouble(x)
    weights, records = layers_of(content, arrays)
    for weight, record in zip(weights[:-1], records, strict=True):
        x = -np.sort(-(weight @ x).reshape(-1, record["size"]), axis=1).reshape(-1)
    return weights[-1] @ x


def improves(problem, value, claim):
    product = np.prod([np.linalg.norm(w, 2) for w in layers_of(*layers(problem))[0]])
    bound = min(claim["promised"] * product, float(value["lipschitz_upper"]))
    return upper(problem, value, {"promised": bound})


@jax.jit
def bound_of(scale):
    """The bound, with rows of the first layer multiplied."""
    weights = list(TINY.weights)
    weights[0] = weights[0] * scale
    network = Network(TINY.input_shape, TINY.nodes, tuple(weights), TINY.biases)
    return run(GlobalLipschitz(network), METHOD, max_steps=40)[0].lipschitz_upper


def derivative():
    return bound_of, np.ones((4, 1))


def batch():
    return bound_of, np.stack([np.ones((4, 1)), np.full((4, 1), 1.5)])


def recorded(weight):
    nodes = [
        {"op": "dense", "inputs": [-1], "weight": "a"},
        {"op": "group_sort", "inputs": [0], "size": 2},
        {"op": "dense", "inputs": [1], "weight": "b"},
    ]
    arrays = {"a": np.asarray(weight), "b": np.ones((2, 4))}
    return Network.of({"input_shape": [2], "nodes": nodes}, arrays)


def householder(vectors):
    node = {"op": "householder", "inputs": [-1], "weight": "v"}
    return Network.of({"input_shape": [2], "nodes": [node]}, {"v": np.array(vectors)})


EYE = np.eye(2)
assert len(list(jacobians({"op": "group_sort", "size": 2}, 4, {}))) == 4

SYSTEM = System(
    bad_inputs=(
        ("group does not divide", lambda: recorded(np.ones((3, 2))), r"divisor of 3"),
        ("shapes", lambda: recorded(np.ones((4, 3))), r"nodes\[0\].*\(3,\), got"),
        ("chain", lambda: recorded(np.ones((6, 2))), r"nodes\[2\] .*\(4,\)"),
        ("NaN", lambda: recorded(np.full((4, 2), np.nan)), r"\(dense\).*finite"),
        ("zero v", lambda: householder([[0.0, 0.0]]), r"no vector of zeros"),
        ("odd MaxMin", lambda: from_equinox(MaxMin(), (3,)), r"MaxMin: .*2 divides"),
        ("no file", lambda: from_onnx("/nowhere.onnx"), r"no such file"),
        ("module", lambda: GlobalLipschitz(abs), r"\.network: .*from_equinox"),
        ("norm", lambda: GlobalLipschitz(TINY, "l1"), r"\.norm: .*'linf'"),
        ("vector", lambda: GlobalLipschitz(TINY, "linf"), r"\.output: .*'sum'"),
        ("output", lambda: GlobalLipschitz(TINY, output=2), r"\.output: .*\[0, 2\)"),
        (
            "multipliers",
            lambda: GlobalLipschitz(TINY).candidate(multipliers=np.ones(3)),
            r"multipliers: .*shape \(2,\), got",
        ),
        (
            "negative",
            lambda: GlobalLipschitz(TINY).candidate(multipliers=-np.ones(2)),
            r"no entry below 0",
        ),
        ("rtol", lambda: Eigenvalue(rtol=0.0), r"\.rtol: .*> 0"),
        ("constraints", lambda: Eigenvalue(constraints=3), r"\.constraints"),
        ("cuts", lambda: LipSDP(cuts=(3, 1)), r"\.cuts: .*rising"),
        ("tol", lambda: LipSDP(solver=SCS(tol=0.0)), r"solver\.tol: .*> 0"),
        (
            "cut outside",
            lambda: solve(GlobalLipschitz(TINY), Eigenvalue(cuts=(2,))),
            r"\.cuts: .*every path",
        ),
        (
            "composite",
            lambda: solve(
                GlobalLipschitz(householder(EYE[:1])), Eigenvalue(CompositeReLU())
            ),
            r"CompositeReLU: .*groups of two",
        ),
        (
            "not square",
            lambda: ImplicitLipschitz(np.ones((2, 3)), EYE, EYE),
            r"\.weight: .*\(2, 2\)",
        ),
        (
            "implicit NaN",
            lambda: ImplicitLipschitz(EYE * np.nan, EYE, EYE),
            r"\.weight: .*finite",
        ),
    ),
    oracles={
        "certify.global_lipschitz_l2/1": upper,
        "certify.global_lipschitz_lower/1": lower,
        "certify.global_lipschitz_improves/1": improves,
    },
    derivative=derivative,
    batch=batch,
    easier="network_0_weight",
)
