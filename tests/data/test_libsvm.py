"""LIBSVM files: read as scikit-learn reads them; what is damaged is named."""

import numpy as np
import pytest

from lemmata.core import InvalidArgument
from lemmata.data import read_libsvm
from lemmata.data.classification import two_classes
from lemmata_checker.errors import Unreadable

GOOD = b"+1 1:0.5 3:-2e-1 # a comment\n\n-1 2:1\n1\n-1.0 1:3 2:4 4:5e0\n"
ROWS = [[0.5, 0, -0.2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 4, 0, 5]]


def written(tmp_path, content):
    path = tmp_path / "rows.libsvm"
    path.write_bytes(content)
    return path


def test_reads_what_is_there(tmp_path):
    found = read_libsvm(written(tmp_path, GOOD))
    np.testing.assert_array_equal(found.features.toarray(), ROWS)
    np.testing.assert_array_equal(found.labels, [1, -1, 1, -1])
    wider = read_libsvm(written(tmp_path, GOOD), features=6)
    assert wider.features.shape == (4, 6)


def test_reads_as_scikit_learn_does(tmp_path):
    datasets = pytest.importorskip("sklearn.datasets")
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(20, 7)) * (rng.uniform(size=(20, 7)) < 0.5)
    labels = rng.choice([-1.0, 1.0], size=20)
    path = tmp_path / "made.libsvm"
    datasets.dump_svmlight_file(dense, labels, str(path), zero_based=False)
    found = read_libsvm(path, features=7)
    theirs, theirs_labels = datasets.load_svmlight_file(str(path), n_features=7)
    np.testing.assert_array_equal(found.features.toarray(), theirs.toarray())
    np.testing.assert_array_equal(found.labels, theirs_labels)


BAD = {
    "empty": (b"\n# nothing\n", "no rows"),
    "label": (b"one 1:2\n", "line 1: expected a finite number, got one"),
    "pair": (b"1 1:2\n1 three\n", "line 2: expected index:value, got three"),
    "value": (b"1 1:x\n", "a finite number, got x"),
    "NaN": (b"1 1:nan\n", "a finite number"),
    "underscore": (b"1 1:1_0\n", "a finite number"),
    "infinite": (b"1 1:1e999\n", "a finite number"),
    "zero": (b"1 0:1\n", "from 1, rising"),
    "falling": (b"1 2:1 1:1\n", "from 1, rising"),
    "twice": (b"1 2:1 2:1\n", "from 1, rising"),
    "negative": (b"1 -2:1\n", "index:value"),
    "wide": (b"1 999999999:1\n", "indices up to"),
    "long": (b"1 " + b"9" * 20 + b":1\n", "index:value"),
    "one line": (b"1 " + b" " * 2**21, "bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_damage_is_named(name, tmp_path):
    content, reason = BAD[name]
    with pytest.raises(Unreadable, match=reason):
        read_libsvm(written(tmp_path, content))


def test_missing_file_and_narrow_table(tmp_path):
    with pytest.raises(Unreadable, match="no such file"):
        read_libsvm(tmp_path / "none")
    with pytest.raises(Unreadable, match="up to 3, got 4"):
        read_libsvm(written(tmp_path, GOOD), features=3)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("breast_cancer", (569, 30)), ("digits", (360, 64)), ("wine", (130, 13))],
)
def test_two_classes(name, shape):
    pytest.importorskip("sklearn")
    features, labels = two_classes(name)
    assert features.shape == shape
    assert set(labels.tolist()) == {-1.0, 1.0}
    assert np.abs(features).max() == 1


def test_unknown_data():
    with pytest.raises(InvalidArgument, match="breast_cancer"):
        two_classes("iris")
