"""`run` on arrays that are spread over devices: the same answer, still spread."""

import os
import subprocess
import sys

SCRIPT = """
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 4)
from lemmata.core import run
from tests.toys import Damped, Diagonal

with jax.enable_x64(True):
    a, b = np.linspace(1.0, 2.0, 8), np.ones(8)
    whole, _, _ = run(Diagonal(a, b), Damped())
    mesh = jax.make_mesh((4,), ("rows",))
    spread = jax.NamedSharding(mesh, jax.P("rows"))
    parts = [jax.device_put(v, spread) for v in (a, b)]
    value, _, _ = jax.jit(lambda a, b: run(Diagonal(a, b), Damped()))(*parts)
    assert len(value.x.sharding.device_set) == 4, value.x.sharding
    np.testing.assert_array_equal(np.asarray(value.x), np.asarray(whole.x))
print("same")
"""


def test_run_on_four_virtual_devices():
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.stdout.strip() == "same", done.stderr[-2000:]
