"""Arrays from strangers: whatever is not finite is refused, however large the rest."""

import numpy as np
import pytest

from lemmata_checker.errors import Malformed
from lemmata_checker.sparse import real


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("others", [1.0, 1e200])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_one_entry_that_is_not_finite(wrong, others, order):
    array = np.asarray(np.full((3, 5), others), order=order)
    assert real(array, "a", 2) is array  # squares may overflow
    array[1, 3] = wrong
    with pytest.raises(Malformed, match="a has an entry that is not finite"):
        real(array, "a", 2)
