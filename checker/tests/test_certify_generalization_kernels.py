"""The judge on kernel expansions: matrices, scores, norms and draws are enclosed."""

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, Malformed
from lemmata_checker.packed import Packed
from lemmata_checker.rules.certify_generalization_kernels import (
    Expansion,
    expansion_norm,
    expansion_scores,
    kernel_matrix,
)
from lemmata_checker.rules.certify_generalization_models import KIND
from lemmata_checker.rules.certify_generalization_rademacher import (
    kernel_class,
    signs,
)
from lemmata_checker.rules.certify_generalization_shells import shell_of


@pytest.fixture(autouse=True, scope="module")
def _precise():
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


KERNELS = st.one_of(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["gaussian", "laplace"]),
            "width": st.floats(0.05, 300.0),
        }
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("polynomial"),
            "degree": st.integers(1, 9),
            "scale": st.floats(0.01, 3.0),
            "offset": st.floats(0.0, 5.0),
        }
    ),
)


def exact(kernel, x, z) -> arb:
    """One value of the kernel, a ball."""
    pairs = [(arb(float(a)), arb(float(b))) for a, b in zip(x, z, strict=True)]
    if kernel["name"] == "polynomial":
        inner = sum((a * b for a, b in pairs), arb(0))
        return (arb(kernel["scale"]) * inner + arb(kernel["offset"])) ** kernel[
            "degree"
        ]
    width = arb(kernel["width"])
    if kernel["name"] == "laplace":
        return (-sum((abs(a - b) for a, b in pairs), arb(0)) / width).exp()
    away = sum(((a - b) ** 2 for a, b in pairs), arb(0))
    return (-away / (2 * width**2)).exp()


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (5, 3), centres (4, 3), coefficients (4,), of any size."""
    rng = np.random.default_rng(seed)
    inputs, centres = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    return inputs, centres, rng.normal(size=4) * 10.0 ** rng.integers(-3, 9)


def inside(ball: arb, low, high) -> bool:
    """Whether the whole ball lies in [low, high]."""
    return bool(ball >= arb(float(low))) and bool(ball <= arb(float(high)))


@settings(deadline=None, max_examples=60)
@given(KERNELS, st.integers(0, 2**32 - 1))
def test_matrices_and_scores_are_enclosed(kernel, seed):
    inputs, centres, a = drawn(seed)
    found = kernel_matrix(kernel, inputs, centres)
    right = [[exact(kernel, x, z) for z in centres] for x in inputs]
    for i, j in np.ndindex(5, 4):
        value, radius = found.value[i, j], found.radius[i, j]
        assert bool(abs(right[i][j] - arb(float(value))) <= arb(float(radius)))
        scale = float(exact(kernel, abs(inputs[i]), abs(centres[j])).mid())
        assert radius <= 1e-12 * max(scale, 1.0)
    low, high = expansion_scores(Expansion(kernel, centres, a, 0.3), inputs)
    for i in range(5):
        f = sum((arb(float(w)) * k for w, k in zip(a, right[i], strict=True)), arb(0.3))
        assert inside(f, low[i, 0], high[i, 0])


@settings(deadline=None, max_examples=60)
@given(KERNELS, st.integers(0, 2**32 - 1), st.sampled_from([None, -0.7]))
def test_norms_and_draws_are_upper_bounds(kernel, seed, intercept):
    inputs, centres, a = drawn(seed)
    square = arb(0) if intercept is None else arb(intercept) ** 2
    for i, j in np.ndindex(4, 4):
        k = exact(kernel, centres[i], centres[j])
        square += arb(float(a[i])) * arb(float(a[j])) * k
    norm = expansion_norm(Expansion(kernel, centres, a, intercept))
    assert bool(arb(norm) ** 2 >= square)
    extra = arb(0) if intercept is None else arb(1)
    gram = [[exact(kernel, x, z) + extra for z in inputs] for x in inputs]
    total = arb(0)
    for row in signs(3, 0, 7, 5):
        form = arb(0)
        for i, j in np.ndindex(5, 5):
            form += int(row[i] * row[j]) * gram[i][j]
        total += (abs(form) if form.contains(0) else form).sqrt()
    trace = sum((gram[i][i] for i in range(5)), arb(0))
    # A chance of failure near 1: the deviation is then 0 but for 1e-16.
    shell, found = drawn_class(kernel, inputs, centres, a, intercept, 1 - 2.0**-53)
    mean, most = total / 7, trace.sqrt()
    right = mean if bool(mean <= most) else most
    assert 2.0**shell >= norm
    assert bool(arb(found) >= arb(2) ** shell * right / 5)
    assert found <= 2.0**shell * float(right.mid()) / 5 * (1 + 1e-5)


def drawn_class(kernel, inputs, centres, a, intercept, sampling):
    """What the judge makes of seven draws at margin 1."""
    arrays = {
        "centres": centres,
        "coefficients": a,
        "train_inputs": inputs,
        "train_labels": np.zeros(5),
    }
    content = {"network": {"kernel": kernel, "intercept": intercept}}
    packed = Packed(KIND, content, arrays)
    options = {"draws": 7, "key": 3, "margin": 1.0, "sampling_delta": sampling}
    return kernel_class(Case(packed), options)


def test_a_smaller_chance_of_failure_costs_what_mcdiarmid_says():
    """With changes of 2 sqrt(K_ii) / draws by each sign, in five points of k = 1.

    1e-5: the chance 1 - 2^-53 costs 1.3e-8 itself.
    """
    kernel = {"name": "gaussian", "width": 1e8}
    inputs, centres, a = drawn(0)
    a = a / np.linalg.norm(a)
    loose = drawn_class(kernel, inputs, centres, a, None, 1 - 2.0**-53)
    tight = drawn_class(kernel, inputs, centres, a, None, 1 - 1e-4)
    cost = 5 * (tight[1] - loose[1]) / 2.0 ** loose[0]
    assert cost == pytest.approx(np.sqrt(2 * 5 * -np.log1p(-1e-4) / 7), rel=1e-5)


def test_signs_that_cancel_leave_the_rounding_of_the_kernel():
    """Of two points nearly one, s'Ks is 4 or 2 - 2k: k rounds to 1, its root is 1e-8.

    1,000 draws, so that the deviation is below what rounding hides.
    """
    kernel, x = {"name": "gaussian", "width": 1e8}, np.array([[0.0], [1.0]])
    arrays = {
        "centres": x[:1],
        "coefficients": np.ones(1),
        "train_inputs": x,
        "train_labels": np.zeros(2),
    }
    content = {"network": {"kernel": kernel, "intercept": None}}
    options = {"draws": 1000, "key": 3, "margin": 2.0, "sampling_delta": 1 - 2.0**-53}
    shell, found = kernel_class(Case(Packed(KIND, content, arrays)), options)
    k = exact(kernel, x[0], x[1])
    apart = int(np.sum(np.prod(signs(3, 0, 1000, 2), axis=1) < 0))
    mean = ((1000 - apart) * (2 + 2 * k).sqrt() + apart * (2 - 2 * k).sqrt()) / 1000
    assert bool(arb(found) >= arb(2) ** shell * mean / 2)


@pytest.mark.parametrize("norm", [np.nan, np.inf, -1.0, 2.0**1001])
def test_no_shell_holds_what_is_no_norm(norm):
    """Neither the least shell nor the largest may stand for it."""
    with pytest.raises(Malformed, match="2\\^1000"):
        shell_of(norm)
