import numpy as np
import pytest

from lemmata.core import InvalidArgument, Recorded


def test_systems_are_written_before_they_are_handed_out(tmp_path):
    asked = []

    def systems():
        for index in range(3):
            asked.append(index)
            yield {"rhs": np.full(2, float(index))}

    stream = Recorded(systems(), tmp_path)
    np.testing.assert_array_equal(stream.system(0)["rhs"], [0, 0])
    stream.keep(0, {"x": np.ones(2)})
    assert asked == [0]
    resumed = Recorded(({"rhs": np.full(2, float(i))} for i in (1, 2)), tmp_path)
    np.testing.assert_array_equal(resumed.system(0)["rhs"], [0, 0])
    np.testing.assert_array_equal(resumed.solution(0)["x"], [1, 1])
    np.testing.assert_array_equal(resumed.system(1)["rhs"], [1, 1])
    np.testing.assert_array_equal(resumed.system(2)["rhs"], [2, 2])
    assert resumed.system(3) is None
    with pytest.raises(InvalidArgument, match="next index"):
        resumed.system(7)
