"""Traces and eigenvalues of a Hessian by matfree, traceax, SciPy and PyTorch.

The libraries in JAX get the product that one would write, compiled with them. PyHessian
and curvlinops run in the Python that LEMMATA_TORCH_PYTHON names (an environment with
torch, pyhessian and curvlinops-for-pytorch) and time themselves, warm.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import lineax
import matfree.decomp
import matfree.eig
import matfree.stochtrace
import numpy as np
import scipy.sparse.linalg
import traceax
from jax.flatten_util import ravel_pytree

from benchmarks.elsewhere import printed
from benchmarks.harness import Row

PRODUCTS = 90
VARIABLE = "LEMMATA_TORCH_PYTHON"
SCRIPT = Path(__file__).with_name("torch_hessian.py")
Network = tuple[Any, Any, np.ndarray, np.ndarray]
Methods = dict[str, Callable[[], float]]


def jax_peers(network: Network) -> tuple[Methods, Methods]:
    """(traces, eigenvalues): methods by name, each compiled at its first call."""
    model, params, inputs, targets = network
    with jax.enable_x64(True):
        flat, restore = ravel_pytree(jax.tree.map(jnp.asarray, params))
        start = jax.random.normal(jax.random.key(0), (flat.size,), jnp.float64)
        signs = traceax.RademacherSampler(jnp.float64)
        sphere = traceax.SphereSampler(jnp.float64)

    def loss(w):
        found = jax.vmap(model, (None, 0))(restore(w), inputs)
        return jnp.sum((found - targets) ** 2) / (2 * len(inputs))

    def product(v):
        return jax.jvp(jax.grad(loss), (flat,), (v,))[1]

    def compiled(function: Callable[[], Any]) -> Callable[[], float]:
        fast = jax.jit(function)

        def run() -> float:
            with jax.enable_x64(True):
                return float(fast())

        return run

    key, like = jax.random.key(0), jax.ShapeDtypeStruct(flat.shape, jnp.float64)
    samplers = matfree.stochtrace

    def hutchinson():
        signs = samplers.sampler_signs(start, num=PRODUCTS)
        trace = samplers.monte_carlo_trace()
        return samplers.estimator_monte_carlo(trace, signs)(product, key)

    def nystrom():
        signs = samplers.sampler_signs(start, num=PRODUCTS)
        trace = samplers.leave_one_out_xnystrace()
        return samplers.estimator_leave_one_out(trace, signs)(product, key)

    def from_traceax(estimator):
        tag = lineax.symmetric_tag

        def estimate():
            operator = lineax.FunctionLinearOperator(product, like, tag)
            return estimator.estimate(key, operator, PRODUCTS)[0]

        return estimate

    def lanczos():
        reduce = matfree.decomp.tridiag_sym(40)
        return matfree.eig.eigh_partial(reduce)(product, start)[0][-1]

    single = jax.jit(product)

    def arpack() -> float:
        with jax.enable_x64(True):
            operator: Any = scipy.sparse.linalg.LinearOperator(
                (flat.size, flat.size),
                matvec=lambda v: np.asarray(single(jnp.asarray(v))),
                dtype=np.float64,
            )
            values: Any = scipy.sparse.linalg.eigsh(
                operator, 1, which="LA", tol=1e-9, return_eigenvectors=False
            )
        return float(values[0])

    traces = {
        "matfree, Hutchinson": compiled(hutchinson),
        "matfree, XNysTrace": compiled(nystrom),
        "traceax, Hutch++": compiled(
            from_traceax(traceax.HutchPlusPlusEstimator(signs))
        ),
        "traceax, XTrace": compiled(from_traceax(traceax.XTraceEstimator(sphere))),
    }
    eigenvalues = {
        "matfree, 40 Lanczos vectors": compiled(lanczos),
        "SciPy, ARPACK to 1e-9": arpack,
    }
    return traces, eigenvalues


def torch_rows(
    network: Network, trace: float, top: float, ours: tuple[float, float]
) -> tuple[list[Row], list[Row]]:
    """Rows of the trace's and the eigenvalue's table; none where no PyTorch is.

    **Arguments:** the right figures, and our seconds for either.
    """
    _, params, inputs, targets = network
    arrays = {"inputs": inputs, "targets": targets} | params
    found = printed(VARIABLE, SCRIPT, arrays, str(PRODUCTS))
    if found is None:
        return [], []
    tables = []
    for kind, right, seconds in (("trace", trace, ours[0]), ("top", top, ours[1])):
        rows = [
            Row(
                who,
                "peer",
                taken,
                taken / seconds,
                None,
                None,
                abs(value / right - 1),
                None,
                None,
                "times itself, warm",
            )
            for who, (value, taken) in found[kind].items()
        ]
        tables.append(rows)
    return tables[0], tables[1]
