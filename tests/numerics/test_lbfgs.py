"""Limited-memory BFGS on a curved valley and on a function with kinks."""

import jax
import jax.numpy as jnp
import numpy as np

from lemmata.numerics.lbfgs import lbfgs_init, lbfgs_step


def minimise(value, start, steps):
    function = jax.value_and_grad(value)

    def run(x):
        state = lbfgs_init(function, x, 10)
        return jax.lax.while_loop(
            lambda carry: (carry[1] < steps) & ~carry[0].stalled,
            lambda carry: (lbfgs_step(function, carry[0]), carry[1] + 1),
            (state, 0),
        )

    return jax.jit(run)(start)


def test_reaches_the_minimum_of_the_rosenbrock_function():
    with jax.enable_x64(True):

        def value(x):
            return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

        state, steps = minimise(value, jnp.full(4, -1.0).at[1].set(1.5), 200)
    assert int(steps) < 200
    # The minimiser is known; the gradient's rounding is about 1e-13.
    np.testing.assert_allclose(state.x, np.ones(4), atol=1e-7)


def test_values_never_rise_and_kinks_do_not_stop_it_early():
    with jax.enable_x64(True):

        def value(x):  # Lewis and Overton's partly smooth example
            return 2 * jnp.abs(x[0]) + x[1] ** 2

        start = jnp.asarray([3.1, 2.7])
        values = [float(minimise(value, start, k)[0].value) for k in (1, 4, 40)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-6  # the minimum, 0, lies on the kink


def test_a_step_without_decrease_leaves_the_point():
    with jax.enable_x64(True):
        function = jax.value_and_grad(lambda x: jnp.sum(x**2))
        state = lbfgs_init(function, jnp.zeros(3), 5)
        after = jax.jit(lambda s: lbfgs_step(function, s))(state)
    assert bool(after.stalled)
    np.testing.assert_array_equal(after.x, np.zeros(3))
