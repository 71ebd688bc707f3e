"""A sparse matrix from a Matrix Market file, through solver and judge."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from lemmata_checker.cli import main as lemmata_check
from tests.linear.matrices import poisson

SLUG = "linear-learning-to-relax"


@pytest.fixture(autouse=True)
def toy_catalogue():
    """The real catalogue instead."""


def test_from_file_to_verdict(lemmata, folder):
    matrix = sp.coo_array(poisson(4))
    scipy.io.mmwrite("A.mtx", matrix, symmetry="symmetric")
    scipy.io.mmwrite("B.mtx", sp.coo_array(poisson(4) * 1.5), symmetry="symmetric")
    scipy.io.mmwrite("wide.mtx", sp.coo_array(np.ones((2, 3))))
    np.savetxt("b.csv", np.random.default_rng(0).normal(size=16))
    done = lemmata("solve", SLUG, "--data", "operator=A.mtx", "rhs=b.csv", "-o", "out")
    assert done.code == 0, done.err
    assert "--problem operator=A.mtx" in done.out
    answer, good = "out/answer.lemma", ["--problem", "operator=A.mtx"]
    assert lemmata_check([answer, *good, "--problem", "rhs=b.csv"]) == 0
    assert lemmata_check([answer, "--problem", "operator=B.mtx"]) == 1
    assert lemmata_check([answer, "--problem", "operator=none.mtx"]) == 2
    assert lemmata_check([answer, "--problem", "matrix=A.mtx"]) == 2
    done = lemmata("solve", SLUG, "--data", "operator=wide.mtx", "rhs=b.csv")
    assert done.code == 2
    assert "sparse 2 x 3" in done.err
