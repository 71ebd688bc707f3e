"""Global Lipschitz rules against exact fractions, sampled pairs, and forgeries."""

from fractions import Fraction as F

import numpy as np
import pytest
from checker.tests.exact_lipsdp import (
    ample,
    case_of,
    exact_matrix,
    exact_run,
    network,
    run,
    semidefinite,
)
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import decide
from lemmata_checker.rules import _certify_lipsdp_inequality as inequality
from lemmata_checker.rules._certify_lipsdp_exact import Formed, exact_enclosure
from lemmata_checker.rules._certify_lipsdp_forms import Forms
from lemmata_checker.rules._certify_lipsdp_question import proof, question
from lemmata_checker.rules._certify_lipsdp_shown import (
    Enclosed,
    blocks,
    holds,
    least_scale,
)

L2, LINF = "certify.global_lipschitz_l2/1", "certify.global_lipschitz_linf/1"
LOWER, IMPROVES = (
    "certify.global_lipschitz_lower/1",
    "certify.global_lipschitz_improves/1",
)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["relu", "group_sort"]))
def test_bound_is_shown_in_exact_arithmetic(seed, op):
    """What the rule measures makes the inequality hold exactly; a bit less does not."""
    rng = np.random.default_rng(seed)
    options = {"size": 2} if op == "group_sort" else {}
    content, arrays = network(rng, op=op, **options)
    multipliers = ample(arrays, 4 if op == "relu" else 2, rng.uniform(1.01, 3))
    case = case_of(content, arrays, multipliers=multipliers, lipschitz_upper=1e9)
    found = decide(L2, 1e9, case)
    assert found.holds, found.detail
    s = F(found.measured) ** 2
    assert semidefinite(exact_matrix(content, arrays, multipliers, s))
    # the search starts 1e-13 above the least: 1e-9 below it must fail
    below = s * (1 - F(1, 10**9))
    assert not semidefinite(exact_matrix(content, arrays, multipliers, below))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2]))
def test_no_pair_contradicts_a_bound(seed, form):
    """Any multipliers: what is shown holds at 200 pairs, in every form and norm."""
    rng = np.random.default_rng(seed)
    content, arrays = network(rng, size=2)
    count = 4 if form == 2 else 2
    value = {"multipliers": ample(arrays, count, 3.0), "form": np.asarray(form)}
    if form == 1:
        value["coupling"] = 0.1 * rng.normal(size=(2, 3))
    x, y = rng.normal(size=(2, 200, 2))
    change = run(arrays, x) - run(arrays, y)
    case = case_of(content, arrays, lipschitz_upper=1e9, **value)
    l2 = decide(L2, 1e9, case).measured
    ratios = np.linalg.norm(change, axis=1) / np.linalg.norm(x - y, axis=1)
    assert ratios.max() <= l2
    weights = np.concatenate([np.full(2, 50.0), np.full(2, 2.0)])
    case = case_of(
        content, arrays, "linf", "sum", lipschitz_upper=1e9, weights=weights, **value
    )
    linf = decide(LINF, 1e9, case).measured
    ratios = np.abs(change).sum(axis=1) / np.abs(x - y).max(axis=1)
    assert ratios.max() <= linf


@pytest.fixture
def good():
    rng = np.random.default_rng(5)
    content, arrays = network(rng, size=2)
    multipliers = ample(arrays, 2, 1.5)
    case = case_of(content, arrays, multipliers=multipliers, lipschitz_upper=1e9)
    bound = decide(L2, 1e9, case).measured
    value = {"multipliers": multipliers, "lipschitz_upper": np.asarray(bound)}
    assert decide(L2, bound, case_of(content, arrays, **value)).holds
    return content, arrays, value, bound


def test_tight_promise_is_refused(good):
    content, arrays, value, bound = good
    tight = value | {"lipschitz_upper": np.asarray(bound * (1 - 1e-4))}
    assert not decide(L2, bound, case_of(content, arrays, **tight)).holds
    assert not decide(L2, bound * (1 - 1e-4), case_of(content, arrays, **value)).holds


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"multipliers": np.array([-1.0, 10.0])}, "no entry below 0"),
        ({"multipliers": np.ones(3)}, r"shape \(2,\)"),
        ({"multipliers": np.ones(2, np.float32)}, "float64"),
        ({"form": np.asarray(7)}, "0 to 4"),
        ({"form": np.asarray(0.0)}, "int64"),
        ({"form": np.asarray(1)}, "coupling is missing"),
        ({"coupling": np.zeros((2, 3))}, "expected none"),
        ({"weights": np.zeros(4)}, "expected none for l2"),
        ({"cuts": np.array([2])}, "rising positions"),
        ({"cuts": np.array([1, 0])}, "rising positions"),
    ],
)
def test_malformed_values(good, change, words):
    content, arrays, value, bound = good
    found = decide(L2, bound, case_of(content, arrays, **(value | change)))
    assert not found.holds
    assert __import__("re").search(words, found.detail), found.detail


def test_a_changed_weight_is_refused(good):
    content, arrays, value, bound = good
    refused = 0
    for place in np.ndindex(arrays["w0"].shape):
        changed = {k: a.copy() for k, a in arrays.items()}
        changed["w0"][place] *= 1.5
        refused += not decide(L2, bound, case_of(content, changed, **value)).holds
    assert refused > 0
    grown = arrays | {"w0": arrays["w0"] * 1.0001}
    assert not decide(L2, bound, case_of(content, grown, **value)).holds


def test_another_activation_is_refused(good):
    """Multipliers of pairs for groups of four, for Householder, and the other way."""
    content, arrays, value, bound = good
    node = content["nodes"][1]
    for other in (
        {"op": "group_sort", "inputs": [0], "size": 4},
        {"op": "relu", "inputs": [0]},
    ):
        nodes = [content["nodes"][0], other, content["nodes"][2]]
        forged = {"input_shape": [2], "nodes": nodes}
        assert not decide(L2, bound, case_of(forged, arrays, **value)).holds
    other = {"op": "householder", "inputs": [0], "weight": "v"}
    nodes = [content["nodes"][0], other, content["nodes"][2]]
    vectors = {"v": np.array([[1.0, 0.3], [-0.2, 1.0]])}
    forged = {"input_shape": [2], "nodes": nodes}
    mine = decide(L2, 1e9, case_of(forged, arrays | vectors, **value))
    assert mine.measured != bound
    assert node["size"] == 2


def test_a_cut_that_is_gone_around_is_refused():
    nodes = [
        {"op": "dense", "inputs": [-1], "weight": "w"},
        {"op": "relu", "inputs": [0]},
        {"op": "add", "inputs": [-1, 1]},
    ]
    content, arrays = {"input_shape": [2], "nodes": nodes}, {"w": np.eye(2)}
    value = {"multipliers": np.ones(2), "lipschitz_upper": 9.0, "cuts": np.array([1])}
    found = decide(L2, 9.0, case_of(content, arrays, **value))
    assert not found.holds
    assert "goes around" in found.detail


def test_second_engine_agrees(good):
    """Formed in balls, the inequality shows the same bound."""
    content, arrays, value, bound = good
    case = case_of(content, arrays, **value)
    asked, given = question(case), proof(case)
    exact = exact_enclosure(asked, given, 0, (-1, 2), None, 0).matrix
    made = Forms(asked.network, (-1, 2), 0, given.multipliers[0], given.coupling[0])
    plain = inequality.enclosed(made, None, 0)
    assert np.all(np.abs(plain.mid - exact.mid) <= plain.rad + exact.rad)
    weights = np.array([1.0, 1.0, 0.0, 0.0])
    assert least_scale(exact, weights) == pytest.approx(bound**2, rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("close", [0, 1e-7])
@pytest.mark.parametrize("op", ["relu", "group_sort"])
def test_reduced_inputs_show_what_all_of_them_do(op, close, seed):
    """Seven inputs that a layer narrows to four, its rows nearly dependent or not."""
    rng = np.random.default_rng(seed)
    options = {"size": 2} if op == "group_sort" else {}
    content, arrays = network(rng, (7, 4, 2), op=op, **options)
    if close:
        arrays["w0"][1] = arrays["w0"][0] + close * arrays["w0"][1]
    multipliers = ample(arrays, 4 if op == "relu" else 2, rng.uniform(1.01, 3))
    case = case_of(content, arrays, multipliers=multipliers)
    formed = exact_enclosure(question(case), proof(case), 0, (-1, 2), None, 0)
    assert (formed.inputs, len(formed.matrix.mid)) == (4, 4 + len(multipliers))
    assert bool(close) == (formed.stretch > 1e-12)
    s = inequality._by_balls(formed, np.ones(7 + len(multipliers)))
    assert semidefinite(exact_matrix(content, arrays, multipliers, F(s)))
    below = F(s) * (1 - 3 * F(formed.stretch) - F(1, 10**9))
    assert not semidefinite(exact_matrix(content, arrays, multipliers, below))


def test_stretch_makes_a_bound_larger():
    formed = Formed(Enclosed(np.array([[-2.0]]), np.zeros((1, 1)), np.eye(1) > 0), 1, 0)
    exact = inequality._by_balls(formed, np.ones(4))
    assert exact == pytest.approx(2, rel=1e-9)
    longer = inequality._by_balls(formed._replace(stretch=0.25), np.ones(4))
    assert F(longer) >= F(exact) / F(3, 4)
    assert longer == pytest.approx(8 / 3, rel=1e-9)


@pytest.mark.parametrize("how", ["zero", "dependent", "nearly dependent", "around"])
def test_inputs_that_are_not_reduced(how):
    rng = np.random.default_rng(0)
    content, arrays = network(rng, (7, 4, 7), size=2)
    if how == "around":
        around = {"op": "add", "inputs": [-1, 2]}
        content = {"input_shape": [7], "nodes": [*content["nodes"], around]}
    elif how == "zero":
        arrays["w0"][0] = 0.0
    else:
        noise = 1e-15 if how == "nearly dependent" else 0.0
        arrays["w0"][1:] = arrays["w0"][0] + noise * arrays["w0"][1:]
    case = case_of(content, arrays, multipliers=np.full(2, 1e3))
    last = len(content["nodes"]) - 1
    formed = exact_enclosure(question(case), proof(case), 0, (-1, last), None, 0)
    assert (formed.inputs, formed.stretch) == (7, 0.0)


def test_blocks():
    linked = np.eye(5, dtype=bool)
    linked[0, 3] = linked[3, 0] = linked[1, 2] = linked[2, 1] = True
    assert [b.tolist() for b in blocks(linked)] == [[0, 3], [1, 2], [4]]


def test_product_of_norms_is_bracketed(good):
    content, arrays, _, _ = good
    product = np.linalg.norm(arrays["w0"], 2) * np.linalg.norm(arrays["w1"], 2)
    value = {"form": np.asarray(3), "lipschitz_upper": product * (1 + 1e-12)}
    found = decide(L2, product * (1 + 1e-12), case_of(content, arrays, **value))
    assert found.holds
    assert found.measured == pytest.approx(product, rel=1e-12)
    ratio = decide(IMPROVES, 1 + 1e-11, case_of(content, arrays, **value))
    assert ratio.holds
    assert ratio.measured >= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pairs_attain_no_more_than_exactly(seed):
    """The ratio is below the exact one, in fractions, and close to it."""
    rng = np.random.default_rng(seed)
    content, arrays = network(rng, size=2)
    pair = rng.normal(size=(2, 2))
    case = case_of(content, arrays, pair=pair, lipschitz_lower=0.0)
    found = decide(LOWER, 0.0, case).measured
    outputs = [exact_run(arrays, x) for x in pair.tolist()]
    change = sum((a - b) ** 2 for a, b in zip(*outputs, strict=True))
    apart = sum((F(a) - F(b)) ** 2 for a, b in zip(*pair.tolist(), strict=True))
    assert F(found) ** 2 <= change / apart
    assert found == pytest.approx(float(change / apart) ** 0.5, rel=1e-9)


@pytest.mark.parametrize("op", ["group_sort", "householder"])
def test_coupling_vanishes_on_every_pair(op):
    """Terms of gamma, nu, tau are zero where dz and dp belong to a pair of inputs."""
    rng = np.random.default_rng(7)
    content, arrays = network(rng, size=2)
    if op == "householder":
        node = {"op": op, "inputs": [0], "weight": "v"}
        content["nodes"][1] = node
        arrays["v"] = rng.normal(size=(2, 2))
    z = rng.normal(size=(2, 2)) @ arrays["w0"].T
    if op == "group_sort":
        p = -np.sort(-z.reshape(2, 2, 2), axis=2).reshape(z.shape)
    else:
        y, v = z.reshape(2, 2, 2), arrays["v"]
        along = np.sum(y * v, axis=2, keepdims=True)
        turned = y - 2 * v * along / np.sum(v * v, axis=1)[:, None]
        p = np.where(along > 0, y, turned).reshape(z.shape)
    x = np.linalg.lstsq(arrays["w0"], z.T, rcond=None)[0].T
    d = np.concatenate([x[0] - x[1], p[0] - p[1]])
    found = []
    for coupling in (np.zeros((2, 3)), rng.normal(size=(2, 3))):
        value = {"multipliers": np.ones(2), "form": np.asarray(1), "coupling": coupling}
        case = case_of(content, arrays, lipschitz_upper=1e9, **value)
        given = proof(case)
        made = Forms(
            question(case).network, (-1, 2), 1, given.multipliers[0], given.coupling[0]
        )
        whole = inequality.enclosed(made, None, 0)
        found.append((d @ whole.mid @ d, whole.mid))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-11)
    assert np.max(np.abs(found[0][1] - found[1][1])) > 0.1


def test_semidefiniteness_is_decided():
    """Indefinite, or definite by less than the radius: refused."""
    zero = np.zeros((2, 2))
    definite = np.array([[1.0, 0.9], [0.9, 1.0]])
    weights = np.zeros(2)
    assert holds(definite, zero, weights, 0.0)
    assert not holds(np.array([[1.0, 1.1], [1.1, 1.0]]), zero, weights, 0.0)
    assert not holds(definite, zero + 0.06, weights, 0.0)
    assert holds(definite, zero + 0.04, weights, 0.0)


def test_radii_raise_the_least_scale():
    """[[s, 1], [1, 1]] within 1e-3 needs (1 + 1e-3)^2 / (1 - 1e-3) + 1e-3 at least."""
    mid = np.array([[0.0, 1.0], [1.0, 1.0]])
    linked = np.ones((2, 2), dtype=bool)
    weights = np.array([1.0, 0.0])
    exact = least_scale(Enclosed(mid, np.zeros((2, 2)), linked), weights)
    assert exact == pytest.approx(1, rel=1e-9)
    wide = least_scale(Enclosed(mid, np.full((2, 2), 1e-3), linked), weights)
    assert (1 + 1e-3) ** 2 / (1 - 1e-3) + 1e-3 <= wide < 1.03


def test_linf_of_a_linear_function_is_its_l1_norm():
    """With mu = |w|, q = sum |w| the inequality is tight at sum |w|."""
    w = np.array([[1.0, -2.0, 0.5]])
    nodes = [{"op": "dense", "inputs": [-1], "weight": "w"}]
    content = {"input_shape": [3], "nodes": nodes}
    weights = np.append(np.abs(w[0]), 3.5)
    case = case_of(content, {"w": w}, "linf", 0, weights=weights, lipschitz_upper=4.0)
    found = decide(LINF, 4.0, case)
    assert found.holds
    assert 3.5 <= found.measured <= 3.5 * (1 + 1e-9)
