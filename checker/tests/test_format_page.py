"""docs/lemma-format.md is true: its reader reads, and reads the same."""

import hashlib
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lemmata_checker import Limits, write
from lemmata_checker.packed import DTYPES
from lemmata_checker.record import CLAIM, FIELDS, PROBLEM

PAGE = Path(__file__).parents[2] / "docs" / "lemma-format.md"

pytestmark = pytest.mark.skipif(
    not PAGE.exists(), reason="the page is not part of the checker's distribution"
)


@pytest.fixture(scope="module")
def read_lemma():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["read_lemma"]


@pytest.mark.parametrize("embedded", [True, False])
def test_the_minimal_reader(tmp_path, read_lemma, toy_document, toy_rules, embedded):
    document = replace(toy_document, embedded=embedded)
    write(tmp_path / "x.lemma", document, toy_rules)
    record, arrays = read_lemma(tmp_path / "x.lemma")
    assert record["problem"]["digest"] == document.digest
    assert ("problem/rhs" in arrays) is embedded
    np.testing.assert_array_equal(arrays["value/x"], document.value["x"])
    for claim in record["claims"]:
        assert tuple(claim) == CLAIM
        assert all(path in arrays for path in claim["witness"].values())
    assert tuple(record) == FIELDS
    assert tuple(record["problem"]) == PROBLEM


def test_the_minimal_reader_sees_another_problem(read_lemma, toy_file):
    data = toy_file.read_bytes()
    with zipfile.ZipFile(toy_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members["certificate.json"].replace(b'"scale": 1.0', b'"scale": 2.0')
    members["certificate.json"] = text
    digest = hashlib.sha256(text).hexdigest()
    members["certificate.sha256"] = f"{digest}\n".encode()
    with zipfile.ZipFile(toy_file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(AssertionError):
        read_lemma(toy_file)
    toy_file.write_bytes(data)
    assert read_lemma(toy_file)[0]["system"] == "toy-system"


def test_the_page_names_what_the_code_has():
    page = PAGE.read_text()
    for word in (*FIELDS, *PROBLEM, *CLAIM, *DTYPES):
        assert f"`{word}`" in page
    limits = Limits()
    assert "2 GiB" in page
    assert limits.file_bytes == limits.member_bytes == 2 * 2**30
    assert f"{limits.members} members" in page
    assert f"{limits.json_bytes // 2**20} MiB for `certificate.json`" in page
    assert f"at most {limits.json_depth} deep" in page
