import subprocess
import sys

SCRIPT = """
import sys
import lemmata
assert "jax" not in sys.modules, "import lemmata imported JAX"
lemmata.catalogue.entries()
assert "jax" not in sys.modules, "the catalogue imported JAX"
lemmata.core
assert "jax" in sys.modules, "this test could not have failed"
import jax
assert not jax._src.xla_bridge.backends_are_initialized(), "a backend was started"
assert not jax.config.jax_enable_x64
"""


def test_import_is_light_and_starts_no_backend():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
