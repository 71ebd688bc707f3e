import numpy as np
import pytest
from tests.toys import Damped, Diagonal, Hosted

import lemmata as lm
from lemmata.core import CheckpointMismatch, UnreadableFile


@pytest.mark.parametrize("method", [Damped(), Hosted()])
@pytest.mark.parametrize("stop", [0, 1, 7, 13])
def test_resume_gives_the_same_bits(problem, tmp_path, method, stop):
    whole = lm.solve(problem, method, key=1, throw=False)
    path = tmp_path / "run.ckpt"
    lm.solve(problem, method, key=1, max_steps=stop, checkpoint=path, throw=False)
    resumed = lm.solve(problem, method, key=1, checkpoint=path, throw=False)
    np.testing.assert_array_equal(resumed.value.x, whole.value.x)
    assert resumed.stats.steps == whole.stats.steps
    for name, column in whole.stats.trace.items():
        np.testing.assert_array_equal(resumed.stats.trace[name], column)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": 2}, "key"),
        ({"method": Damped(damping=0.4)}, "options"),
        ({"method": Hosted()}, "method"),
        ({"problem": Diagonal([1.0, 2.0, 4.0], [1, 1, 2])}, "problem"),
    ],
)
def test_mismatch_names_the_field(problem, tmp_path, change, field):
    path = tmp_path / "run.ckpt"
    arguments = {"problem": problem, "method": Damped(), "key": 1}
    lm.solve(**arguments, max_steps=3, checkpoint=path, throw=False)
    with pytest.raises(CheckpointMismatch, match=f": {field}: expected"):
        lm.solve(**(arguments | change), checkpoint=path)


def test_damaged_checkpoint_says_what_to_do(problem, tmp_path):
    path = tmp_path / "run.ckpt"
    path.write_bytes(b"PK no zip")
    with pytest.raises(UnreadableFile, match="delete it to start anew"):
        lm.solve(problem, checkpoint=path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
