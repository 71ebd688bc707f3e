"""Readers of users' files: agreement with independent writers, plain errors."""

import io
import os
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from lemmata_checker import Unreadable, read_array, read_sparse

FIXTURE = [HealthCheck.function_scoped_fixture]
FLOATS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=4))


@settings(max_examples=40, deadline=None, suppress_health_check=FIXTURE)
@given(
    st.sampled_from(
        ["<f8", ">f8", "<f4", "<f2", "<i8", ">i4", "<i2", "|i1", "<u4", "|u1", "|b1"]
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    st.booleans(),
    st.data(),
)
def test_npy_and_npz(tmp_path, code, shape, fortran, data):
    array = data.draw(hnp.arrays(code, shape))
    array = np.asfortranarray(array) if fortran else array
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", first=array, second=array[..., None])
    for path in (tmp_path / "x.npy", f"{tmp_path}/x.npz#first"):
        found = read_array(path)
        assert found.shape == array.shape
        assert found.flags.c_contiguous
        assert found.dtype.newbyteorder("<") == found.dtype
        np.testing.assert_array_equal(found, array)


@settings(max_examples=40, deadline=None, suppress_health_check=FIXTURE)
@given(FLOATS, st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_tables(tmp_path, array, header, comment, end):
    # repr is the shortest text that gives the same float64 back: exact.
    for suffix, mark in ((".csv", ","), (".tsv", "\t")):
        lines = [mark.join(repr(float(x)) for x in row) for row in array]
        lines = ["# made by hand", ""] * comment + ["a" * header] * header + lines
        if header:
            lines[lines.index("a")] = mark.join(
                f"column {j}" for j in range(array.shape[1])
            )
        path = tmp_path / f"x{suffix}"
        path.write_text(end.join(lines) + end, newline="")
        column = array.reshape(-1) if array.shape[1] == 1 else array
        np.testing.assert_array_equal(read_array(path), column)


def test_table_with_bom_quotes_and_spaces(tmp_path):
    path = tmp_path / "X.CSV"
    path.write_bytes(b'\xef\xbb\xbf"height, in m", weight\n "1.5",2\n3 , -4e-3\n')
    with pytest.raises(Unreadable, match="line 2"):  # a quote in mid-cell
        read_array(path)
    path.write_bytes(b'\xef\xbb\xbf"height, in m", weight\n"1.5",2\n3 , -4e-3\n')
    np.testing.assert_array_equal(read_array(path), [[1.5, 2], [3, -4e-3]])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no row of numbers"),
        ("a,b\n", "no row of numbers"),
        ("# only\n", "no row of numbers"),
        ("1,2\n3\n", "line 2 has 1 cells, expected 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells"),
        ("1,2\n3,x\n", "line 2, column 2: expected a number, got 'x'"),
        ("1,2\n\n3,\n", "line 3, column 2: expected a number, got nothing"),
        ("1,b\n3,4\n", "line 1, column 2"),
        ("1_0,2\n", "line 1, column 1"),
        ("1,2\n٣,4\n", "line 2, column 1"),
        ("1,0x10\n", "line 1, column 2"),
        ("1;2\n3;4\n", "line 2, column 1"),
        ('1,"2\n', "line"),
        ("1,2\n" + "9" * 200_000 + ",1\n", "line 2"),
    ],
)
def test_bad_table(tmp_path, text, reason):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(Unreadable, match=f"x.csv: .*{reason}"):
        read_array(path)


def test_not_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"1,2\n\xff\xfe\n")
    with pytest.raises(Unreadable, match="line 2 is not UTF-8"):
        read_array(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"1,2\n3,\0\n")
    with pytest.raises(Unreadable, match="line 2"):
        read_array(tmp_path / "x.csv")


@pytest.mark.parametrize("symmetry", ["general", "symmetric", "skew-symmetric"])
def test_matrix_market_agrees_with_scipy(tmp_path, symmetry):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(5, 5)) * (rng.uniform(size=(5, 5)) < 0.5)
    dense = {"general": dense[:, :4], "symmetric": dense + dense.T}.get(
        symmetry, dense - dense.T
    )
    # 17 digits determine a float64.
    scipy.io.mmwrite(tmp_path / "a.mtx", dense, symmetry=symmetry, precision=17)
    scipy.io.mmwrite(
        tmp_path / "s.mtx",
        scipy.sparse.coo_array(dense),
        symmetry=symmetry,
        precision=17,
    )
    np.testing.assert_array_equal(read_array(tmp_path / "a.mtx"), dense)
    found = read_sparse(tmp_path / "s.mtx")
    assert found.shape == dense.shape
    assert {found.indices.dtype, found.indptr.dtype} == {np.dtype("<i8")}
    as_scipy = scipy.sparse.csr_array(
        (found.data, found.indices, found.indptr), found.shape
    )
    assert as_scipy.has_canonical_format
    np.testing.assert_array_equal(as_scipy.toarray(), dense)


def test_matrix_market_pattern(tmp_path):
    path = tmp_path / "p.mtx"
    path.write_text(
        "%%MatrixMarket matrix coordinate pattern general\n% why\n2 3 2\n2 3\n1 1\n"
    )
    found = read_sparse(path)
    assert found.data.tolist() == [1, 1]
    assert found.indices.tolist() == [0, 2]
    assert found.indptr.tolist() == [0, 1, 2]


ARRAY, SPARSE = (
    f"%%MatrixMarket matrix {k} real general\n" for k in ("array", "coordinate")
)
SYMMETRIC = SPARSE.replace("general", "symmetric")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: expected"),
        ("1 2\n", "line 1: expected"),
        (ARRAY.replace("real", "complex"), "complex"),
        (ARRAY.replace("general", "hermitian"), "hermitian"),
        (ARRAY.replace("real", "pattern"), "pattern"),
        (ARRAY, "cut short"),
        (ARRAY + "2 2\n1\n2\n3\n", "cut short: expected one number"),
        (ARRAY + "1 1\n1\n2\n", "line 4: more entries"),
        (ARRAY + "1 1\nx\n", "line 3: expected one number, got 'x'"),
        (ARRAY + "1 1\n1 2\n", "line 3"),
        (ARRAY + "1 -1\n", "line 2: expected two sizes"),
        (ARRAY + "99999999 99999999\n1\n", "cut short"),
        (ARRAY + "0 999999999999999\n", "cut short"),
        (SPARSE + "1 1 1\n1 1 1.0\n", "sparse matrix where"),
        (ARRAY.replace("general", "symmetric") + "2 1\n1\n", "square"),
    ],
)
def test_bad_dense_matrix(tmp_path, text, reason):
    (tmp_path / "x.mtx").write_text(text)
    with pytest.raises(Unreadable, match=reason):
        read_array(tmp_path / "x.mtx")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ARRAY + "1 1\n1\n", "dense array where"),
        (SPARSE + "2 2 1\n0 1 1.0\n", "line 3: no entry"),
        (SPARSE + "2 2 1\n1 3 1.0\n", "line 3: no entry"),
        (SPARSE + "2 2 1\n1 2\n", "line 3: expected row, column and a number"),
        (SPARSE + "2 2 2\n1 2 1\n1 2 1\n", r"entry \(1, 2\) comes twice"),
        (SPARSE + "2 2 9\n1 2 1\n", "cut short"),
        (SPARSE + "2 2 999999999\n1 2 1\n", "too large"),
        (SPARSE + "999999999999 2 1\n1 2 1\n", "too large"),
        (SYMMETRIC + "2 2 1\n1 2 1\n", "lower triangle"),
        (SYMMETRIC + "2 3 1\n1 1 1\n", "square"),
    ],
)
def test_bad_sparse_matrix(tmp_path, text, reason):
    (tmp_path / "x.mtx").write_text(text)
    with pytest.raises(Unreadable, match=reason):
        read_sparse(tmp_path / "x.mtx")


def test_no_pickle(tmp_path):
    array = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=array)
    for path in ("x.npy", "x.npz"):
        with pytest.raises(Unreadable, match="no pickle"):
            read_array(tmp_path / path)


@pytest.mark.parametrize("code", ["<c16", "<M8[s]", "<U3", "|S3", "V4", "<u8", "g"])
def test_other_dtypes(tmp_path, code):
    array = np.zeros(2, code) if code != "<u8" else np.array([2**63], code)
    np.save(tmp_path / "x.npy", array)
    if code == "g" and np.dtype("g").itemsize == 8:
        pytest.skip("long double is double here")
    with pytest.raises(Unreadable, match="x.npy: "):
        read_array(tmp_path / "x.npy")


def test_huge_npy_header_allocates_nothing(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    (tmp_path / "x.npy").write_bytes(stream.getvalue() + b"\0" * 8)
    with pytest.raises(Unreadable, match="needs 8000000000128 bytes, the file has 136"):
        read_array(tmp_path / "x.npy")


def test_npz_bomb(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(10**6))
    with pytest.raises(Unreadable, match="unpacks to more than the limit"):
        read_array(tmp_path / "x.npz", max_bytes=10**5)


def test_npz_names(tmp_path):
    np.savez(tmp_path / "two.npz", cost=np.ones(1), source=np.zeros(2))
    with pytest.raises(
        Unreadable, match=r"holds cost, source: name one array, two.npz#NAME"
    ):
        read_array(tmp_path / "two.npz")
    with pytest.raises(Unreadable, match="holds cost, source"):
        read_array(f"{tmp_path}/two.npz#target")
    assert read_array(f"{tmp_path}/two.npz#source").shape == (2,)
    np.savez(tmp_path / "one#1.npz", cost=np.ones(1))
    assert read_array(tmp_path / "one#1.npz").shape == (1,)


def test_damaged_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.arange(50.0))
    data = path.read_bytes()
    for index in range(0, len(data), 3):  # refused or, in a date field, the same
        path.write_bytes(data[:index] + bytes([data[index] ^ 0x55]) + data[index + 1 :])
        try:
            found = read_array(path)
        except Unreadable:
            continue
        np.testing.assert_array_equal(found, np.arange(50.0))


def test_encrypted_npz(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"")
    data = path.read_bytes()
    head, directory = data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8
    locked = bytearray(data)
    locked[head] = locked[directory] = 1
    path.write_bytes(bytes(locked))
    with pytest.raises(Unreadable, match="not a readable npz"):
        read_array(path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "folder.npy").mkdir()
    cases = {
        "none.npy": "no such file",
        "pipe.npy": "not a file",
        "folder.npy": "not a file",
        "x.parquet": "expected .npy",
        "a\0b.csv": "cannot be read",
    }
    for name, reason in cases.items():
        with pytest.raises(Unreadable, match=reason):
            read_array(tmp_path / name)
    with pytest.raises(Unreadable, match="expected .mtx"):
        read_sparse(tmp_path / "x.csv")


def test_limit_on_bytes(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(100))
    with pytest.raises(Unreadable, match="more than the limit 500"):
        read_array(tmp_path / "x.npy", max_bytes=500)


@pytest.mark.parametrize("head", ["real general", "real symmetric", "pattern general"])
def test_whole_and_line_by_line_reading_agree(head, monkeypatch):
    from lemmata_checker import matrix_market

    rng, n = np.random.default_rng(0), 40
    rows, columns = np.nonzero(np.tril(rng.random((n, n)) < 0.2))
    order = rng.permutation(rows.size)
    lines = [
        f" {i + 1}\t{j + 1} " + ("" if "pattern" in head else f"{x!r}")
        for i, j, x in zip(
            rows[order],
            columns[order],
            rng.normal(size=rows.size).tolist(),
            strict=True,
        )
    ]
    text = f"%%MatrixMarket matrix coordinate {head}\n% remark\n{n} {n} {rows.size}\n"
    text += "\n".join(lines) + "\n"
    fast = matrix_market.parse_sparse(text)
    monkeypatch.setattr(matrix_market, "_fast_entries", lambda *_: None)
    slow = matrix_market.parse_sparse(text)
    for one, two in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "entry",
    ["+1 1 1", "1 +1 1", "1.0 1 1", "1 1 1_0", "1 1 0x1", "1 1 1\r1 1 1", "1 1"],
)
def test_whole_reading_accepts_nothing_more(entry):
    from lemmata_checker.matrix_market import parse_sparse

    with pytest.raises(Unreadable, match="line 3"):
        parse_sparse(SPARSE + f"2 2 1\n{entry}\n")
