"""Certificates: round trip, canonical bytes, and every way to be refused."""

import hashlib
import io
import json
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from lemmata_checker import (
    Document,
    Limits,
    Packed,
    Rule,
    Unreadable,
    document as module,
    npy,
    read,
    record,
    write,
)
from lemmata_checker.packed import DTYPES, canonical, digest

NAMES = st.text("abc_019", min_size=1, max_size=6)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=6,
)
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda code: hnp.arrays(
        code, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    )
)
FOLDER = st.dictionaries(NAMES, ARRAYS, max_size=3)


def equal(one: Document, other: Document) -> bool:
    """Same fields, arrays compared by bytes."""

    def plain(value):
        if isinstance(value, np.ndarray):
            value = canonical(value)
            return value.dtype.str, value.shape, value.tobytes()
        if isinstance(value, dict):
            return {name: plain(entry) for name, entry in value.items()}
        if isinstance(value, Packed):
            return [plain(part) for part in value]
        return value

    return all(
        plain(getattr(one, field.name)) == plain(getattr(other, field.name))
        for field in fields(Document)
        if field.name != "claims"
    )


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    problem=FOLDER,
    fields=st.dictionaries(NAMES, JSON, max_size=3),
    value=FOLDER,
    trace=FOLDER,
    options=JSON,
    key=st.none() | st.integers(0, 9) | st.lists(st.integers(0, 2**32 - 1), max_size=2),
    embedded=st.booleans(),
)
def test_round_trip(
    tmp_path, toy_rules, problem, fields, value, trace, options, key, embedded
):
    fields = {name: entry for name, entry in fields.items() if name not in problem}
    document = Document(
        "toy",
        Packed("toy.any/1", fields, problem),
        value=value,
        trace=trace,
        method={"name": "Any", "options": {"anything": options}},
        key=key,
        embedded=embedded,
    )
    path, again = tmp_path / "a.lemma", tmp_path / "b.lemma"
    write(path, document, toy_rules)
    found = read(path, rules=toy_rules)
    hidden = replace(document, problem=document.problem._replace(arrays={}))
    assert equal(found, document if embedded else hidden)
    write(again, found, toy_rules)
    assert again.read_bytes() == path.read_bytes()


def test_every_changed_byte_is_refused(tiny, tmp_path, toy_rules):
    data, changed = tiny.read_bytes(), tmp_path / "changed.lemma"
    for index in range(len(data)):
        other = bytearray(data)
        other[index] ^= 1 << index % 8
        changed.write_bytes(other)
        with pytest.raises(Unreadable):
            read(changed, rules=toy_rules)


def test_every_truncation_and_extension_is_refused(tiny, tmp_path, toy_rules):
    data, changed = tiny.read_bytes(), tmp_path / "changed.lemma"
    for other in (
        *(data[:n] for n in range(len(data))),
        data + b"\0",
        b"\0" + data,
        data * 2,
    ):
        changed.write_bytes(other)
        with pytest.raises(Unreadable):
            read(changed, rules=toy_rules)


def test_an_ordinary_zip_tool_can_open_it(toy_file, toy_document):
    with zipfile.ZipFile(toy_file) as opened:
        assert opened.testzip() is None
        stated = json.loads(opened.read("certificate.json"))
        x = np.load(io.BytesIO(opened.read("value/x.npy")), allow_pickle=False)
        assert (
            stated["members"]["value/x.npy"]
            == hashlib.sha256(opened.read("value/x.npy")).hexdigest()
        )
    assert stated["system"] == "toy-system"
    np.testing.assert_array_equal(x, toy_document.value["x"])


def test_arrays_are_aligned_and_read_only(toy_file, toy_rules):
    x = read(toy_file, rules=toy_rules).value["x"]
    assert x.flags.aligned
    assert not x.flags.writeable


def test_same_id_with_other_parameters_is_another_claim(
    tmp_path, toy_document, toy_rules
):
    first = toy_document.claims[0]
    toy_document.claims.append({**first, "parameters": {"part": "second"}})
    write(tmp_path / "x.lemma", toy_document, toy_rules)
    assert len(read(tmp_path / "x.lemma", rules=toy_rules).claims) == 3


def test_too_large_to_be_read_again_is_not_written(
    tmp_path, toy_document, toy_rules, monkeypatch
):
    monkeypatch.setattr(module, "Limits", lambda: Limits(file_bytes=1000))
    with pytest.raises(ValueError, match="do not embed the problem"):
        write(tmp_path / "x.lemma", toy_document, toy_rules)


def test_what_write_refuses_leaves_no_file(tmp_path, toy_document, toy_rules):
    def changed(**change):
        return replace(toy_document, **change)

    bad_claim = {"id": "toy.residual/1", "promised": float("nan")}
    problem = toy_document.problem
    documents = [
        changed(claims=[bad_claim]),
        changed(claims=[{"id": "toy.none/1", "promised": 1.0}]),
        changed(claims=[{"promised": 1.0}]),
        changed(value={"x": np.array([1j])}),
        changed(value={"x": np.array([object()])}),
        changed(value={"no good": np.ones(1)}),
        changed(digest="0" * 64),
        changed(problem=problem._replace(arrays={"rhs": np.ones(1)})),
        changed(stats={"x": object()}),
        changed(stats={"x": "y" * 2**23}),
        changed(trace={f"t{i}": np.ones(1) for i in range(4096)}),
    ]
    for document in documents:
        with pytest.raises((ValueError, TypeError)):
            write(tmp_path / "x.lemma", document, toy_rules)
        assert list(tmp_path.iterdir()) == []


def test_write_replaces_whole_or_not_at_all(
    toy_file, toy_document, toy_rules, monkeypatch
):
    before = toy_file.read_bytes()

    def full_disk(stream, members):
        stream.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(module.archive, "pack", full_disk)
    with pytest.raises(OSError, match="no space"):
        write(toy_file, toy_document, toy_rules)
    assert toy_file.read_bytes() == before
    assert [path.name for path in toy_file.parent.iterdir()] == ["toy.lemma"]


def test_digest_tells_problems_apart():
    one = Packed("a/1", {"x": 1}, {"c": np.array([1.0, 2.0])})
    others = [
        one._replace(kind="a/2"),
        one._replace(json={"x": 1.0}),
        one._replace(json={}),
        one._replace(arrays={"d": np.array([1.0, 2.0])}),
        one._replace(arrays={"c": np.array([[1.0, 2.0]])}),
        one._replace(arrays={"c": np.array([1.0, 2.0], np.float32)}),
        one._replace(arrays={"c": np.array([1.0, np.nextafter(2.0, 3)])}),
        one._replace(arrays={"c": np.array([1.0]), "d": np.array([2.0])}),
        one._replace(arrays={"c": np.array([1.0, 2.0]).view(np.int64)}),
    ]
    assert len({digest(packed) for packed in (one, *others)}) == len(others) + 1


def test_digest_sees_numbers_not_memory_layout():
    rows = np.arange(6.0).reshape(2, 3)
    same = [
        rows,
        np.asfortranarray(rows),
        rows.astype(">f8"),
        np.repeat(rows, 2, 0)[::2],
    ]
    digests = {digest(Packed("a/1", {}, {"c": array})) for array in same}
    assert len(digests) == 1


def test_digest_as_documented():
    # Independent of the implementation: the definition in docs/lemma-format.md.
    packed = Packed(
        "a/1", {"y": 0.1, "x": [1, None]}, {"c": np.array([[1.5]]), "b": np.array(7)}
    )
    text = b'{"json":{"x":[1,null],"y":0.1},"kind":"a/1"}\n'
    text += b'["b","<i8",[]]\n' + (7).to_bytes(8, "little")
    text += b'["c","<f8",[1,1]]\n' + bytes.fromhex("000000000000f83f")
    assert digest(packed) == hashlib.sha256(text).hexdigest()


def test_npy_member_is_what_numpy_reads():
    for array in (np.array(1.5), np.zeros((0, 3), np.int32), np.ones((2, 3, 4), bool)):
        data = npy.encode_header(array.dtype.str, array.shape) + array.tobytes()
        found = np.load(io.BytesIO(data), allow_pickle=False)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(npy.decode(data), array)


def test_record_round_trip_is_ascii():
    content = {"b": "ü\ud800\n", "a": [1, 0.1, None, -0.0]}
    data = record.encode(content)
    assert data.isascii()
    assert record.decode(data, 32) == content


def test_rule_is_found_in_the_registry_by_default(
    tmp_path, toy_document, toy_rules, monkeypatch
):
    from lemmata_checker import rules

    monkeypatch.setattr(rules, "RULES", toy_rules)
    write(tmp_path / "x.lemma", toy_document)
    assert read(tmp_path / "x.lemma").claims[0]["grade"] == "proof"
    assert all(isinstance(rule, Rule) for rule in rules.RULES.values())
