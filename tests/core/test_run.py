import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.toys import Damped, Diagonal, Hosted

import lemmata as lm
from lemmata.core import InvalidArgument


def test_refuses_single_precision(problem):
    with pytest.raises(InvalidArgument, match="enable_x64"):
        lm.run(problem, Damped())
    with jax.enable_x64(True):
        single = Damped(damping=jnp.asarray(0.5, dtype=jnp.float32))
        with pytest.raises(InvalidArgument, match="float32"):
            lm.run(problem, single)
        with pytest.raises(InvalidArgument, match="host"):
            lm.run(problem, Hosted())


def test_agrees_with_solve_under_jit_and_vmap(problem):
    whole = lm.solve(problem)
    with jax.enable_x64(True):
        a = jnp.stack([problem.a, 2 * problem.a])

        @jax.jit
        @jax.vmap
        def batch(a):
            value, _, _ = lm.run(Diagonal(a, problem.b), Damped())
            return value.x

        x = np.asarray(batch(a))
    # batching may reorder rounding: a few ulp of 1
    np.testing.assert_allclose(x[0], whole.value.x, atol=1e-14)
    np.testing.assert_allclose(2 * x[1], whole.value.x, atol=1e-10)
