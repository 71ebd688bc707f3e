"""immrax's interval Jacobians, run by an interpreter of its own.

`PYTHON immrax_peer.py IN.npz OUT.npz`, called by `lipschitz_peers`; nothing of lemmata
is imported. Same files as `lirpa_peer`, dense ReLU networks only.

`natif(jax.jacfwd(f))` and `natif(jax.jacrev(f))` (interval arithmetic) are the
inclusion functions that work: `crown` and `linbp` of release 0.3.8 have no rule for the
comparison in a ReLU's derivative, and `natif` none for `jax.nn.relu` and `jnp.where`,
so the ReLU is `jnp.maximum`.
"""

import json
import statistics
import sys
import time
from importlib.metadata import version

import immrax
import jax
import jax.numpy as jnp
import numpy as np

ROUNDS = 5
JACOBIANS = {"natif, jacfwd": jax.jacfwd, "natif, jacrev": jax.jacrev}


def bounds_of(given, jacobian):
    """A compiled function from points (n, d) to bounds (n, K)."""
    nodes = json.loads(str(given["network"]))["nodes"]

    def network(x):
        for node in nodes:
            if node["op"] == "relu":
                x = jnp.maximum(x, 0.0)
            else:
                x = given[node["weight"]] @ x + given[node["bias"]]
        return x

    inclusion = immrax.natif(jacobian(network))

    def one(x):
        found = inclusion(immrax.icentpert(x, float(given["radius"])))
        return jnp.maximum(jnp.abs(found.lower), jnp.abs(found.upper)).sum(axis=1)

    return jax.jit(jax.vmap(one))


def main(source: str, target: str) -> None:
    """Reads IN, writes OUT."""
    jax.config.update("jax_enable_x64", True)
    given, found = dict(np.load(source)), {}
    points = jnp.asarray(given["points"])
    for name in map(str, given["settings"]):
        run, taken = bounds_of(given, JACOBIANS[name]), []
        norms = np.asarray(run(points))
        for _ in range(ROUNDS):
            start = time.perf_counter()
            norms = np.asarray(run(points))
            taken.append(time.perf_counter() - start)
        found[f"{name}/norms"] = norms
        found[f"{name}/seconds"] = statistics.median(taken)
        found[f"{name}/kind"] = "float64"
    versions = f"immrax {version('immrax')}, jax {jax.__version__}"
    np.savez(target, threads=0, versions=versions, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
