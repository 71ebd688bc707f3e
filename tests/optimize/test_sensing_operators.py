"""Operators of matrix sensing: adjoints, isometry, the seeded stream, memory."""

import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.core import InvalidProblem
from lemmata.numerics.philox import normal_rows, words
from lemmata.optimize import (
    DenseOperator,
    FourierOperator,
    GaussianOperator,
    IdentityOperator,
    MaskOperator,
    MatrixSensing,
    RankOneOperator,
)
from lemmata_checker import gaussian

SHAPE = (7, 5)
RNG = np.random.default_rng(0)
INDEX = RNG.permutation(35)[:20]
MATRICES = RNG.normal(size=(30, *SHAPE))
OPERATORS = {
    "identity": IdentityOperator(SHAPE),
    "dense": DenseOperator(MATRICES),
    "rank_one": RankOneOperator(RNG.normal(size=(30, 7)), RNG.normal(size=(30, 5))),
    "mask": MaskOperator(SHAPE, INDEX // 5, INDEX % 5),
    "fourier": FourierOperator(SHAPE, INDEX // 5, INDEX % 5),
    "stored": GaussianOperator(SHAPE, 30, key=9),
    "blocks": GaussianOperator(SHAPE, 30, key=9, memory=8 * 35 * 7),
}


def rows_of(name) -> np.ndarray:
    """The m x n1 n2 matrix, from the definition of each operator."""
    operator = OPERATORS[name]
    if name == "identity":
        return np.eye(35)
    if name == "dense":
        return MATRICES.reshape(30, -1)
    if name == "rank_one":
        products = [
            np.outer(a, b) for a, b in zip(operator.left, operator.right, strict=True)
        ]
        return np.stack(products).reshape(30, -1)
    if name == "mask":
        return np.eye(35)[INDEX]
    if name == "fourier":
        k, l_ = INDEX // 5, INDEX % 5
        phase = np.exp(
            -2j * np.pi * (k[:, None, None] * np.arange(7)[:, None] / 7)
            - 2j * np.pi * (l_[:, None, None] * np.arange(5) / 5)
        ).reshape(20, -1)
        return np.concatenate([phase.real, phase.imag])
    return gaussian.rows(9, 0, 30, 35)


@pytest.mark.parametrize("name", OPERATORS)
def test_image_adjoint_and_gradient_are_those_of_the_matrix(name):
    operator, a = OPERATORS[name], rows_of(name)
    matrix = RNG.normal(size=SHAPE)
    y, r = RNG.normal(size=len(a)), RNG.normal(size=len(a))
    used = len(a) - (6 if name in ("stored", "blocks") else 0)
    operator.validate()
    assert (operator.shape, operator.count) == (SHAPE, len(a))
    host = operator.apply(matrix)
    assert isinstance(host, np.ndarray)

    @eqx.filter_jit
    def everything(operator, matrix, r):
        square, slope = operator.residual_and_gradient(matrix, y, used)
        return operator.apply(matrix), operator.adjoint(r), square, slope

    with jax.enable_x64(True):
        found = everything(operator, jnp.asarray(matrix), jnp.asarray(r))
    residual = (a @ matrix.reshape(-1) - y)[:used]
    slope = operator.scale(used) * (residual @ a[:used])
    expected = (a @ matrix.reshape(-1), r @ a, residual @ residual, slope)
    for got, want in zip(found, expected, strict=True):
        # sums of at most 80 products of size 1 to 30
        np.testing.assert_allclose(np.ravel(got), np.ravel(want), atol=1e-10)
    np.testing.assert_allclose(host, expected[0], atol=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
def test_packing_is_undone(name):
    operator = OPERATORS[name]
    problem = MatrixSensing(operator, np.ones(operator.count))
    packed = problem.pack()
    again = MatrixSensing.unpack(packed.json, packed.arrays)
    assert again.pack().json == packed.json
    matrix = RNG.normal(size=SHAPE)
    # unpacked, the seeded operator is stored: its sums take another order
    np.testing.assert_allclose(
        again.operator.apply(matrix), operator.apply(matrix), rtol=0, atol=1e-13
    )


def test_blocks_and_stored_rows_are_the_same_operator():
    matrix = RNG.normal(size=SHAPE)
    stored, blocks = OPERATORS["stored"], OPERATORS["blocks"]
    assert stored.stored is not None
    assert blocks.stored is None
    assert stored.pack()[0] == blocks.pack()[0]
    np.testing.assert_allclose(blocks.apply(matrix), stored.apply(matrix), atol=1e-13)


@pytest.mark.parametrize("key", [0, 1, 2**40 + 3, 2**63 - 1])
def test_words_and_rows_are_numpys_bit_for_bit(key):
    with jax.enable_x64(True):
        drawn = np.asarray(words(key, 12, 5))
        rows = np.asarray(normal_rows(key, jnp.asarray(3), 4, 37))
    raw = np.random.Philox(key=key, counter=12).random_raw(20)
    np.testing.assert_array_equal(drawn.reshape(-1), raw)
    np.testing.assert_array_equal(rows, gaussian.rows(key, 3, 7, 37))


def test_expected_normal_operator_is_the_identity():
    """scale A*A averages to I: within 6 standard errors over 4000 rows of 35."""
    operator = GaussianOperator(SHAPE, 4000, key=2)
    a = np.asarray(operator.stored)
    normal = operator.scale(4000) * a.T @ a
    assert np.max(np.abs(normal - np.eye(35))) < 6 * np.sqrt(2 / 4000)


def test_rank_one_without_right_vectors_is_symmetric():
    a = RNG.normal(size=(9, 4))
    operator, matrix = RankOneOperator(a), RNG.normal(size=(4, 4))
    np.testing.assert_allclose(
        operator.apply(matrix), [v @ matrix @ v for v in a], atol=1e-12
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IdentityOperator((0, 3)), r"IdentityOperator\.shape"),
        (lambda: GaussianOperator((3, 3), 5, key=-1).validate(), r"\.key"),
        (lambda: GaussianOperator((3, 3), 5, memory=8).validate(), r"\.memory"),
        (lambda: MaskOperator((3, 3), [0.5], [0]), r"\.row_index: .*integers"),
        (lambda: RankOneOperator(np.ones((3, 2)), np.ones((4, 2))).validate(), "right"),
        (lambda: DenseOperator(np.full((1, 2, 2), np.inf)).validate(), "finite"),
    ],
)
def test_bad_operators_are_refused_by_name(make, message):
    with pytest.raises(InvalidProblem, match=message):
        make()


CAP = 600 * 2**20  # bytes above an idle JAX: a few blocks of 32 MiB, and code
MEMORY = """
import resource, sys
import jax, jax.numpy as jnp, numpy as np
import lemmata as lm
from lemmata.optimize import *
with jax.enable_x64(True):
    jax.jit(lambda a: a @ a)(jnp.ones((50, 50))).block_until_ready()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
idle = peak()
rng = np.random.default_rng(0)
truth = LowRank(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)))
operator = GaussianOperator((200, 200), 20_000, key=3, memory=2**25)
problem = Planted.of(operator, truth)
method = AcceleratedAsymmetricGradientDescent(4, check_every=1)
solution = lm.solve(problem, method, max_steps=2, throw=False)
trace = solution.stats.trace["residual"]
assert np.all(np.isfinite(trace)) and trace[-1] < 1.01, trace
claim = solution.certificate["measurement_residual"]
assert abs(claim.measured - trace[-1]) < 1e-9, (claim.measured, trace[-1])
print(peak() - idle)
"""


@pytest.mark.slow
def test_a_large_seeded_operator_stays_below_its_cap():
    """n = 200, m = 20000: the m x n^2 array would take 6.4 GB; the judge looks, too."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    above = int(done.stdout.split()[-1])
    assert above < CAP, f"{above / 2**20:.0f} MiB"
    assert 8 * 20_000 * 200**2 > 10 * CAP
