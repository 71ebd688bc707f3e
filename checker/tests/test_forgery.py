"""Forgeries: a canonical archive, every digest right, and the content not."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from lemmata_checker import (
    CheckerError,
    Limits,
    Unreadable,
    archive,
    check,
    npy,
    read,
    write,
)
from lemmata_checker.render import render

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


def forge(path, record_change=None, members_change=None):
    """Rewrite a file with all digests computed again."""
    members = {n: [d] for n, d in archive.unpack(path, Limits())}
    content = json.loads(members["certificate.json"][0])
    if members_change is not None:
        members_change(members)
        arrays = sorted(n for n in members if "/" in n)
        content["members"] = {
            n: hashlib.sha256(b"".join(members[n])).hexdigest() for n in arrays
        }
    text = None
    if record_change is not None:
        text = record_change(content)
    if not isinstance(text, bytes):
        text = json.dumps(content, indent=1).encode() + b"\n"
    members["certificate.json"] = [text]
    members["certificate.sha256"] = [hashlib.sha256(text).hexdigest().encode() + b"\n"]
    with open(path, "wb") as stream:
        archive.pack(stream, members)


def test_forging_nothing_changes_nothing(toy_file, toy_rules):
    before = toy_file.read_bytes()
    forge(toy_file, lambda content: None, lambda members: None)
    assert toy_file.read_bytes() == before


def test_a_record_that_is_not_sealed_anew_is_refused(toy_file, toy_rules):
    """A looser promise in a canonical archive, but under the old seal."""
    members = {n: [d] for n, d in archive.unpack(toy_file, Limits())}
    text = members["certificate.json"][0].replace(b"1e-09", b"1e-08")
    assert text != members["certificate.json"][0]
    members["certificate.json"] = [text]
    with open(toy_file, "wb") as stream:
        archive.pack(stream, members)
    with pytest.raises(Unreadable, match="digest that seals it"):
        read(toy_file, rules=toy_rules)


def claim(name, value):
    return lambda content: content["claims"][0].__setitem__(name, value)


def field(*path):
    *path, value = path

    def change(content):
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return change


def raw(old, new):
    """Replace bytes of the JSON text itself."""

    def change(content):
        text = json.dumps(content, indent=1).encode() + b"\n"
        assert old in text
        return text.replace(old, new, 1)

    return change


def nested(content):
    inner = []
    for _ in range(40):
        inner = [inner]
    content["stats"] = {"deep": inner}


RECORDS = {
    "grade": (claim("grade", "evidence"), "grade"),
    "relation": (claim("relation", ">="), "relation"),
    "statement": (claim("statement", "all is well"), "statement"),
    "unknown id": (claim("id", "toy.unheard_of/1"), "newer version"),
    "id of another type": (claim("id", ["toy.residual/1"]), "not known"),
    "promise is text": (claim("promised", "1e-9"), "promised"),
    "promise is true": (claim("promised", True), "promised"),
    "promise is null": (claim("promised", None), "promised"),
    "parameters": (claim("parameters", []), "an object"),
    "parameter name": (claim("parameters", {"A b": 1}), "parameters"),
    "witness elsewhere": (claim("witness", {"x": "value/none"}), "not in the file"),
    "witness in the problem": (claim("witness", {"x": "problem/rhs"}), "witness.x"),
    "witness path": (claim("witness", {"x": "value/../x"}), "witness.x"),
    "claim twice": (lambda c: c["claims"].append(c["claims"][0]), "entry twice"),
    "claims": (field("claims", {}), "a list"),
    "extra claim field": (lambda c: c["claims"][0].update(note="trust me"), "fields"),
    "withheld unknown": (field("withheld", 0, "id", "toy.x/1"), "newer version"),
    "withheld twice": (lambda c: c["withheld"].append(c["withheld"][0]), "entry twice"),
    "withheld reason": (field("withheld", 0, "reason", 3), "reason"),
    "uncertified elsewhere": (field("uncertified", ["value/q"]), "not in the file"),
    "uncertified trace": (field("uncertified", ["trace/loss"]), "uncertified"),
    "uncertified type": (field("uncertified", [1]), "uncertified"),
    "format": (field("format", "lemma/2"), "newer lemmata-checker"),
    "missing field": (lambda c: c.pop("stats") and None, "fields"),
    "extra field": (field("note", 1), "fields"),
    "system": (field("system", "Toy System"), "system"),
    "kind": (field("problem", "kind", "toy"), "problem.kind"),
    "problem digest": (field("problem", "digest", "0" * 64), "stated digest"),
    "digest form": (field("problem", "digest", "0" * 63), "problem.digest"),
    "easier problem": (field("problem", "json", "rtol", 1.0), "stated digest"),
    "embedded": (field("problem", "embedded", False), "although"),
    "embedded type": (field("problem", "embedded", 1), "true or false"),
    "signature shape": (field("problem", "arrays", "rhs", "shape", [9]), "arrays"),
    "signature size": (field("problem", "arrays", "rhs", "shape", [-1]), "sizes"),
    "signature bool": (field("problem", "arrays", "rhs", "shape", [True]), "sizes"),
    "signature dtype": (field("problem", "arrays", "rhs", "dtype", "O"), "dtype"),
    "name twice": (field("problem", "json", "rhs", 1), "problem.arrays.rhs"),
    "json name": (field("problem", "json", "A b", 1), "a name in problem"),
    "method": (field("method", "Newton"), "method"),
    "result": (field("result", {"name": "converged"}), "result"),
    "key": (field("key", 1.5), "key"),
    "key list": (field("key", [True]), "key"),
    "stats": (field("stats", []), "stats"),
    "steps": (field("stats", "steps", 1.5), "stats.steps"),
    "steps as truth": (field("stats", "steps", True), "stats.steps"),
    "seconds": (field("stats", "seconds", {"run": "short"}), "stats.seconds.run"),
    "versions": (field("versions", {"numpy": 2}), "versions"),
    "member digest": (field("members", "value/x.npy", "0" * 64), "value/x.npy"),
    "member missing": (field("members", "value/z.npy", "0" * 64), "members"),
    "member digest type": (field("members", "value/x.npy", 0), "members"),
    "NaN": (raw(b"1e-09", b"NaN"), "not a finite number"),
    "Infinity": (raw(b"1e-09", b"Infinity"), "not a finite number"),
    "1e999": (raw(b"1e-09", b"1e999"), "too large"),
    "long integer": (raw(b"1e-09", b"9" * 5000), "not JSON"),
    "integer of 65 bits": (raw(b"1e-09", b"99999999999999999999"), "64 bits"),
    "other float form": (raw(b"1e-09", b"1E-9"), "canonical"),
    "duplicate key": (raw(b'"key": 0', b'"key": 0,\n "key": 0'), "twice"),
    "spaces": (raw(b'"key": 0', b'"key":  0'), "canonical"),
    "other order": (lambda c: c.update(format=c.pop("format")), "this order"),
    "list on top": (lambda c: b"[]\n", "canonical"),
    "no JSON": (lambda c: b"\n", "not JSON"),
    "not ASCII": (raw(b"toy-system", "töy".encode()), "not JSON"),
    "very deep": (lambda c: b"[" * 100_000, "deep"),
    "deep": (nested, "deep"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_forged_record_is_refused(toy_file, toy_rules, name):
    change, reason = RECORDS[name]
    forge(toy_file, change)
    with pytest.raises(Unreadable, match=reason):
        read(toy_file, rules=toy_rules)


def header(text, dtype="<f8"):
    line = text.encode() + b" " * (-(11 + len(text)) % 64) + b"\n"
    return npy.MAGIC + b"\x01\x00" + len(line).to_bytes(2, "little") + line


def described(dtype="<f8", order="False", shape="(2,)"):
    return header(
        f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}"
    )


ONES = np.ones(2).tobytes()
MEMBERS = {
    "object": described("|O") + ONES,
    "structured": header(
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }"
    )
    + ONES,
    "complex": described("<c8") + ONES,
    "big-endian": described(">f8") + ONES,
    "float16": described("<f2", shape="(8,)") + ONES,
    "fortran order": described(order="True") + ONES,
    "too short": described(shape="(3,)") + ONES,
    "too long": described(shape="(1,)") + ONES,
    "huge shape": described(shape="(99999999999999999999,)"),
    "huge product": described(shape="(9999999999, 9999999999, 0)"),
    "many dimensions": described(shape="(1, 1, 1, 1, 1, 1, 1, 1, 2)") + ONES,
    "negative": described(shape="(-2,)") + ONES,
    "shape of words": described(shape="(a,)") + ONES,
    "spaces": described(shape="( 2,)") + ONES,
    "leading zero": described(shape="(02,)") + ONES,
    "code": described(shape="(__import__('os').getpid(),)") + ONES,
    "nesting": header("(" * 3000) + ONES,
    "version 2": npy.MAGIC
    + b"\x02\x00"
    + described()[8:10]
    + b"\0\0"
    + described()[10:]
    + ONES,
    "version 9": npy.MAGIC + b"\x09\x00" + described()[8:] + ONES,
    "long header": npy.MAGIC + b"\x01\x00\xff\xff" + described()[10:] + ONES,
    "cut header": described()[:20],
    "no magic": b"x" * 64,
    "empty": b"",
    "pickle": b"\x80\x04N.",
    "boolean 2": described("|b1") + b"\x01\x02",
}


@pytest.mark.parametrize("name", MEMBERS)
def test_forged_array_is_refused(toy_file, toy_rules, name):
    forge(
        toy_file, None, lambda members: members.update({"value/x.npy": [MEMBERS[name]]})
    )
    with pytest.raises(Unreadable, match=r"value/x\.npy: "):
        read(toy_file, rules=toy_rules)


def test_forged_members_are_refused(toy_file, toy_rules):
    before = toy_file.read_bytes()
    changes = {
        "no claim refers": lambda m: m.update({"witness/free.npy": m["value/x.npy"]}),
        "referred to": lambda m: m.pop("value/x.npy"),
        "problem's arrays": lambda m: m.pop("problem/rhs.npy"),
        "stated digest": lambda m: m.update({"problem/rhs.npy": m["value/x.npy"]}),
        "is no name": lambda m: m.update({"value/../../x.npy": m["value/x.npy"]}),
    }
    for reason, change in changes.items():
        toy_file.write_bytes(before)
        forge(toy_file, None, change)
        with pytest.raises(Unreadable, match=reason):
            read(toy_file, rules=toy_rules)


def places(value, path=()):
    """The path to every entry of a record."""
    if path:
        yield path
    if isinstance(value, dict | list):
        names = value if isinstance(value, dict) else range(len(value))
        for name in names:
            yield from places(value[name], (*path, name))


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_forged_record_is_refused_or_judged(
    toy_document, tmp_path, toy_rules, data
):
    """Whatever stands anywhere in the record: a sentence or a report, no surprise."""
    path = tmp_path / "x.lemma"
    write(path, toy_document, toy_rules)
    members = dict(archive.unpack(path, Limits()))
    record_places = list(places(json.loads(members["certificate.json"])))
    place = data.draw(st.sampled_from(record_places))
    forge(path, field(*place, data.draw(JSON)))
    try:
        found = check(read(path, rules=toy_rules), rules=toy_rules)
    except CheckerError:
        return
    json.dumps(found.to_json(), allow_nan=False)
    assert render("x", found).replace("\n", "").isprintable()


def test_any_forged_byte_of_an_array_is_refused_or_read(tiny, toy_rules):
    before = tiny.read_bytes()
    (data,) = (d for n, d in archive.unpack(tiny, Limits()) if n == "value/y.npy")
    for index in range(len(data)):
        other = bytearray(data)
        other[index] ^= 0x11
        tiny.write_bytes(before)
        forge(
            tiny, None, lambda m, other=other: m.update({"value/y.npy": [bytes(other)]})
        )
        if index < len(data) - 8:
            with pytest.raises(Unreadable, match=r"value/y\.npy: "):
                read(tiny, rules=toy_rules)
        else:  # the number itself: another certificate, for its claims to judge
            assert read(tiny, rules=toy_rules).value["y"] != 1.5
