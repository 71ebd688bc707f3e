"""Recorded operations: what JAX computes, its derivatives, and back into JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.core import InvalidProblem
from lemmata.optimize._constrained import EqualityConstrained
from lemmata.optimize._constrained_checks import evaluation
from lemmata_checker.curvature import hessian
from lemmata_checker.intervals import exact

N = 4
MATRIX = np.random.default_rng(0).normal(size=(3, N))
POINT = np.array([0.7, -0.4, 1.3, 0.2])


def loop(x):
    return jax.lax.fori_loop(0, N, lambda i, total: total + x[i] ** 2, 0.0)


def scanned(x):
    def step(carry, entry):
        return carry * 0.5 + jnp.sin(entry), carry**2

    last, rows = jax.lax.scan(step, 1.0, x)
    return last + jnp.sum(rows)


@jax.custom_jvp
def own(x):
    return jnp.sum(x**3)


own.defjvp(lambda primal, tangent: (own(*primal), 3 * primal[0] ** 2 @ tangent[0]))

FUNCTIONS = {
    "polynomial": lambda x: jnp.sum(x**3 - 2 * x**2 + x) + x[0] * x[-1],
    "negative powers": lambda x: x[0] ** -2 + jnp.sum(1 / x),
    "real powers": lambda x: (x[0] ** 2 + 1) ** 1.5 + jnp.abs(x[1]) ** 0.3,
    "powers of entries": lambda x: jnp.sum(x ** jnp.arange(N)),
    "power of two": lambda x: jnp.exp2(x[0]) + 3.0 ** x[1] + x[2] ** (x[0] ** 2),
    "exponentials": lambda x: jnp.sum(jnp.exp(x) + jnp.expm1(x) + jnp.log1p(x**2)),
    "roots": lambda x: jnp.sqrt(x @ x) + jax.lax.rsqrt(x[0]) + jnp.cbrt(x[1]),
    "norm": lambda x: jnp.linalg.norm(x),
    "trigonometry": lambda x: jnp.sum(jnp.sin(x) * jnp.cos(x[::-1]) + jnp.tan(x)),
    "inverse trigonometry": lambda x: jnp.sum(jnp.arcsin(x / 2) + jnp.arccos(x / 2))
    + jnp.arctan(x[0] * x[1]),
    "hyperbolic": lambda x: jnp.sum(jnp.sinh(x) + jnp.cosh(x) * jnp.tanh(x)),
    "inverse hyperbolic": lambda x: jnp.sum(jnp.arcsinh(x) + jnp.arctanh(x / 2))
    + jnp.arccosh(2 + x[0]),
    "error functions": lambda x: jnp.sum(
        jax.scipy.special.erf(x) * jax.scipy.special.erfc(x[::-1])
    ),
    "softplus": lambda x: jnp.sum(jax.nn.softplus(x) * jax.nn.sigmoid(x)),
    "logaddexp": lambda x: jnp.logaddexp(x[0], x[1] * x[2]) + jnp.logaddexp(x[3], 0.0),
    "logsumexp": lambda x: jax.nn.logsumexp(x * jnp.arange(1.0, 1 + N)),
    "softmax": lambda x: jax.nn.softmax(x) @ x,
    "norms of rows": lambda x: jnp.sum(jnp.linalg.norm(MATRIX * x, axis=1)),
    "extremes": lambda x: jnp.max(x) * jnp.min(x) + jnp.maximum(x[0], x[1] ** 2),
    "clip": lambda x: jnp.sum(jnp.clip(x, -0.5, 0.5) ** 2 * x),
    "absolute": lambda x: jnp.sum(jnp.abs(x) * jnp.sign(x) * x),
    "where": lambda x: jnp.sum(jnp.where(x > 0, jnp.sqrt(jnp.abs(x)), x**2)),
    "safe where": lambda x: jnp.sum(
        jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), x**2)
    ),
    "guarded by where": lambda x: jnp.sum(jnp.where(x > 0, jnp.log(x), 0.0) * x),
    "logic": lambda x: jnp.sum(jnp.where((x > 0) & ~(x > 1) | (x == 3.0), x**2, x**3)),
    "truth as number": lambda x: jnp.sum((x > 0) * x**2),
    "constant where": lambda x: jnp.sum(jnp.where(np.arange(N) % 2 == 0, x**2, x**3)),
    "cond": lambda x: jax.lax.cond(x[0] > 0, lambda y: y @ y, lambda y: y[0], x),
    "matrix": lambda x: jnp.sum((MATRIX @ x) ** 2) + jnp.sum((x @ MATRIX.T) ** 3),
    "quadratic form": lambda x: x @ (MATRIX.T @ MATRIX) @ x,
    "outer": lambda x: jnp.sum(jnp.outer(x, x**2) * jnp.arange(16.0).reshape(4, 4)),
    "einsum": lambda x: jnp.einsum("i,ij,j->", x, jnp.ones((N, N)), x**2),
    "batched": lambda x: jnp.sum(
        jnp.einsum("bij,bj->bi", jnp.arange(8.0).reshape(2, 2, 2), x.reshape(2, 2)) ** 2
    ),
    "variable batched": lambda x: jnp.sum(
        jnp.einsum("bi,bj->bij", x.reshape(2, 2), x.reshape(2, 2) ** 2) ** 2
    ),
    "variable matrices": lambda x: jnp.sum(x.reshape(2, 2) @ jnp.sin(x).reshape(2, 2)),
    "constant folding": lambda x: x @ (jnp.arange(4.0) * jnp.sin(jnp.ones(4)))
    + jnp.sum(x**2),
    "product": lambda x: jnp.prod(x) + jnp.prod(x[:3]),
    "running sums": lambda x: jnp.sum(jnp.cumsum(x) ** 2 + jnp.cumsum(x[::-1]) ** 3),
    "indexing": lambda x: x[1] * x[-1] + jnp.sum(x[jnp.array([0, 2, 2])] ** 2),
    "slices": lambda x: jnp.sum(x[:-1] * x[1:] ** 2) + x[::2] @ x[1::2],
    "set": lambda x: jnp.sum(x.at[1].set(2.0).at[2].set(x[0]) ** 2),
    "add": lambda x: jnp.sum(
        x.at[1].add(x[0] ** 2).at[jnp.array([0, 3])].add(1.0) ** 2
    ),
    "roll": lambda x: jnp.roll(x, 1) @ x**2,
    "pad": lambda x: jnp.sum(jnp.diff(jnp.pad(x, 2)) ** 2)
    + jnp.sum(jnp.pad(x, 1, constant_values=3.0) ** 3),
    "stack": lambda x: jnp.sum(jnp.stack([x, x**2]) ** 2)
    + jnp.sum(jnp.tile(x, 2) ** 2),
    "concatenate": lambda x: jnp.sum(jnp.concatenate([x, jnp.ones(2), x[:2]]) ** 3),
    "split": lambda x: jnp.split(x, 2)[0] @ jnp.split(x, 2)[1],
    "transpose": lambda x: jnp.sum(x.reshape(2, 2).T @ jnp.ones((2, 1)) * x[0]),
    "flips": lambda x: x[::-1] @ x**2 + jnp.sum(jnp.flip(x.reshape(2, 2), 0) ** 3),
    "reductions": lambda x: jnp.mean(x**2) + jnp.var(x)
    + jnp.sum(x.reshape(2, 2), 0) @ x[:2] ** 2,
    "vmap": lambda x: jnp.sum(jax.vmap(lambda i: x[i] ** 2 * i)(jnp.arange(N))),
    "jit": lambda x: jax.jit(lambda y: y @ y)(x) * jax.jit(jnp.sin)(x[0]),
    "gradient inside": lambda x: jnp.sum(
        jax.grad(lambda y: jnp.sum(y**3 * y[0]))(x) ** 2
    ),
    "checkpoint": lambda x: jax.checkpoint(lambda y: jnp.sum(jnp.sin(y)))(x),
    "own derivative": own,
    "loop": loop,
    "scan": scanned,
    "reversed scan": lambda x: jax.lax.scan(
        lambda c, e: (c + e**2, c * e), 0.0, x, reverse=True
    )[1] @ x,
    "while": lambda x: jax.lax.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x[0]), (0, 1.0)
    )[1] + x[1] ** 2,
    "angle": lambda x: jnp.arctan2(x[0], x[1]) + jnp.arctan2(x[1], x[2] ** 2),
    "sinc": lambda x: jnp.sum(jnp.sinc(x)),
    "constant": lambda x: jnp.asarray(3.0),
    "linear": lambda x: 2 * x[0] - x[3] / 3,
}  # fmt: skip


def made(function):
    constraint = lambda x: jnp.stack([x[0] + x[1] ** 2, x[2] * x[3]])  # noqa: E731
    return EqualityConstrained(function, constraint, POINT)


QUICK = (
    *("polynomial", "real powers", "softplus", "safe where", "matrix", "indexing"),
    *("variable matrices", "scan", "while", "pad", "logic", "angle"),
)  # of every kind one: each compiles a function of its own


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FUNCTIONS],
)
def test_value_and_derivatives_are_those_of_jax(name):
    """JAX rounds by some u on values and derivatives of size up to 100: 1e-11."""
    problem, multipliers = made(FUNCTIONS[name]), np.array([0.3, -0.8])
    found = evaluation(problem, POINT)
    with jax.enable_x64(True):

        def lagrangian(x):
            return problem.f(x) + multipliers @ problem.c(x)

        @jax.jit
        def oracle(x):
            second = jax.jacfwd(jax.jacfwd(lagrangian))
            return (
                problem.f(x),
                jax.jacfwd(problem.f)(x),
                jax.jacfwd(problem.c)(x),
                second(x),
            )

        value, gradient, jacobian, second = oracle(POINT)
    close = {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(found.objective.mid, value, **close)
    np.testing.assert_allclose(found.jacobian.mid, jacobian, **close)
    curvature = hessian(found, exact(multipliers))
    if name != "guarded by where":  # where JAX's own derivative is NaN
        np.testing.assert_allclose(found.gradient.mid, gradient, **close)
        np.testing.assert_allclose(curvature.mid, second, **close)
    for ball in (found.objective, found.gradient, curvature):
        assert np.max(ball.radius) < 1e-10


@pytest.mark.parametrize("name", FUNCTIONS)
def test_program_as_a_function_of_jax_again(name):
    problem = made(FUNCTIONS[name])
    packed = problem.pack()
    again = EqualityConstrained.unpack(packed.json, packed.arrays)
    one, two = evaluation(problem, POINT), evaluation(again, POINT)
    assert one.objective.mid == two.objective.mid
    assert again.pack().json == packed.json


@pytest.mark.parametrize("name", QUICK)
def test_jax_computes_what_was_recorded(name):
    problem = made(FUNCTIONS[name])
    packed = problem.pack()
    again = EqualityConstrained.unpack(packed.json, packed.arrays)
    with jax.enable_x64(True):
        value, constraint = again.f(POINT), again.c(POINT)
    found = evaluation(problem, POINT)
    # JAX rounds by some u
    np.testing.assert_allclose(value, found.objective.mid, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(constraint, found.constraint.mid, rtol=1e-12)


UNTRACEABLE = {
    "sort": (lambda x: jnp.sort(x)[0], "primitive 'sort'"),
    "solve": (lambda x: jnp.linalg.inv(jnp.outer(x, x))[0, 0], "primitive 'lu"),
    "callback": (
        lambda x: jax.pure_callback(np.sum, jax.ShapeDtypeStruct((), float), x),
        "callback 'pure_callback'",
    ),
    "steps set by x": (
        lambda x: jax.lax.while_loop(lambda s: s < 3, lambda s: s + 1, x[0]),
        "steps set by x",
    ),
    "position set by x": (lambda x: x[jnp.argmax(x)], "'argmax'"),
    "float32": (lambda x: jnp.sum(x.astype("float32")).astype(float), "float32"),
    "integers": (lambda x: jnp.sum(x.astype(int)) * 1.0, "int64"),
    "infinite constant": (lambda x: jnp.sum(x) + jnp.inf, "not finite"),
    "long loop": (
        lambda x: jax.lax.fori_loop(0, 2000, lambda i, s: s * x[0], 1.0),
        "at most 1000",
    ),
    "out of bounds": (
        lambda x: x.at[7].get(mode="fill", fill_value=0.0),
        "out of bounds",
    ),
    "python": (lambda x: float(x[0]), "ConcretizationTypeError"),
    "numpy": (lambda x: np.sin(x).sum(), "TracerArrayConversionError"),
}


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_recorded_is_named(name):
    function, reason = UNTRACEABLE[name]
    with pytest.raises(InvalidProblem, match=reason) as caught:
        made(function)
    assert "EqualityConstrained.objective" in str(caught.value)


def test_named_data_are_not_folded():
    """What is computed from data is recorded, so that other data can be judged."""
    problem = EqualityConstrained(
        lambda x, data: jnp.sum((2 * data["a"] + 1) * x**2),
        lambda x, data: x[:1] - 1,
        np.ones(N),
        data={"a": np.arange(N)},
    )
    packed = problem.pack()
    assert ["array", "a"] in packed.json["program"]["nodes"]
    assert set(packed.arrays) == {"a", "x0", "multipliers0"}


def test_debug_prints_do_not_matter():
    def printed(x):
        jax.debug.print("x = {}", x)
        return x @ x

    nodes = made(printed).pack().json["program"]["nodes"]
    assert nodes == made(lambda x: x @ x).pack().json["program"]["nodes"]
