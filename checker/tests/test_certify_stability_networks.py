"""The rules on norms that stability bounds, for networks that the judge evaluates."""

import numpy as np
import pytest
from checker.tests.stability import KIND, changed, instance, judge, relu_case

from lemmata_checker import Case, Packed, decide
from lemmata_checker.rules import RULES
from lemmata_checker.rules.certify_stability_data import gradients


def test_two_layer_network_is_evaluated_by_the_judge():
    case, ratio, rows = relu_case(np.random.default_rng(0))
    gram = gradients(case).gram
    assert np.all(np.abs(gram.mid - rows @ rows.T) <= gram.radius + 1e-13)
    assert np.max(gram.radius) < 1e-12
    found = judge("sgd_path_norm", 1.0, case)
    assert found.holds
    assert found.measured == pytest.approx(ratio, rel=1e-12)
    assert found.measured >= ratio * (1 - 1e-15)
    assert judge("sgd_threshold", 1e-2, case).holds


def test_no_bound_on_the_norm_where_stability_is_not_shown():
    case, _, _ = relu_case(np.random.default_rng(0))
    json = case.problem.json
    faster = json | {"learning_rate": json["learning_rate"] * 1.2 / 0.9}
    case = Case(Packed(KIND, faster, case.problem.arrays), case.value)
    implied = case.value["implied_norm_bound"] * 0.9 / 1.2
    found = judge("sgd_path_norm", 1.0, changed(case, implied_norm_bound=implied))
    assert found.assumptions["stable at this learning rate"] == "violated"
    assert not found.holds


def test_a_kink_is_refused():
    case, _, _ = relu_case(np.random.default_rng(1))
    arrays = dict(case.problem.arrays)
    inner = arrays["inner"].copy()
    x = arrays["inputs"][0]
    inner[0] -= x * (inner[0] @ x) / (x @ x)
    case = Case(Packed(KIND, case.problem.json, arrays | {"inner": inner}), case.value)
    found = judge("sgd_stable", 1.0, case)
    assert not found.holds
    assert "kink" in found.detail


@pytest.mark.parametrize("name", ["path_norm", "implied_norm_bound"])
def test_stated_norms_are_recomputed(name):
    case, _, _ = relu_case(np.random.default_rng(2))
    other = changed(case, **{name: case.value[name] * 1.001})
    assert not judge("sgd_path_norm", 1.0, other).holds


def test_isotropy_is_looked_at():
    rng = np.random.default_rng(3)
    d, n = 2, 400
    arrays = {"inner": rng.normal(size=(50, d)), "outer": rng.normal(size=50)}
    for factor, state in ((1.0, "checked"), (3.0, "violated")):
        inputs = rng.normal(size=(n, d)) * [factor, 1.0]
        given_arrays = arrays | {"inputs": inputs, "targets": np.ones(n)}
        json = instance().problem.json | {"model": "two_layer"}
        case = Case(Packed(KIND, json, given_arrays), {})
        found = judge("sgd_trace_equivalence", 0.3, case)
        assert found.assumptions["isotropic inputs"] == state
        assert found.holds == (state == "checked")
        if state == "checked":
            assert found.figures["the same for isotropic inputs"] >= 1


def test_bound_on_the_test_loss_grows_with_its_confidence():
    case, _, _ = relu_case(np.random.default_rng(4))
    bounds = []
    for delta in (0.1, 0.01):
        parameters = {"delta": delta, "clip": 1.0}
        one = Case(case.problem, case.value, parameters=parameters)
        bounds.append(decide("certify.sgd_path_generalization/1", 1e9, one).measured)
    assert bounds[0] < bounds[1]
    for delta in (0.0, 1.0, "x", None):
        one = Case(case.problem, case.value, parameters={"delta": delta, "clip": 1.0})
        assert not decide("certify.sgd_path_generalization/1", 1e9, one).holds


def test_every_rule_of_the_system_is_registered():
    names = [i for i in RULES if i.startswith("certify.sgd_")]
    assert len(names) == 10
