"""A process killed in the middle of a run, as a power cut would, loses nothing."""

import signal
import subprocess
import sys
import time

import numpy as np
from tests.toys import Damped

import lemmata as lm

SCRIPT = """
import sys
import lemmata as lm
from lemmata.core import _solve
from tests.toys import Damped, Diagonal

_solve.SAVE_SECONDS = 0.0
problem = Diagonal([1.0, 2.0, 4.0], [1, 1, 1])
lm.solve(problem, Damped(damping=1e-6), key=5, checkpoint=sys.argv[1])
"""


def test_killed_process_resumes_to_the_same_bits(problem, tmp_path):
    path = tmp_path / "run.ckpt"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)])
    try:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    slow, limits = Damped(damping=1e-6), {"key": 5, "throw": False}
    found = lm.solve(problem, slow, checkpoint=path, max_steps=0, **limits)
    assert found.stats.steps > 0, "nothing had been saved"
    steps = found.stats.steps + 500
    resumed = lm.solve(problem, slow, checkpoint=path, max_steps=steps, **limits)
    whole = lm.solve(problem, slow, max_steps=steps, **limits)
    np.testing.assert_array_equal(resumed.value.x, whole.value.x)
