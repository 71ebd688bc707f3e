"""Compiled code that processes keep and share, without a lock."""

import os
import subprocess
import sys

SCRIPT = """
from lemmata._compilation import keep_compiled_code
keep_compiled_code()
import jax
print(float(jax.jit(lambda x: 3 * x + 1)(2.0)))
"""


def run(cache):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
    )


def test_an_entry_that_is_half_written_is_compiled_again(tmp_path):
    assert run(tmp_path).stdout == "7.0\n"
    kept = [path for path in tmp_path.iterdir() if path.stat().st_size]
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = run(tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "7.0\n", "")
