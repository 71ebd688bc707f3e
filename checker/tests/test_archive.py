"""The canonical zip: sizes bounded first, one byte form, nothing else."""

import io
import os
import struct
import zipfile

import pytest

from lemmata_checker import Limits, Unreadable
from lemmata_checker.archive import CERTIFICATE, SEAL, Buffer, pack, unpack

SMALL: dict[str, list[Buffer]] = {
    CERTIFICATE: [b"{}\n"],
    SEAL: [b"0" * 64 + b"\n"],
    "value/x.npy": [b"head", b"data"],
}


def packed(members=SMALL):
    stream = io.BytesIO()
    pack(stream, members)
    return stream.getvalue()


def unpacked(tmp_path, data, **limits):
    path = tmp_path / "x.lemma"
    path.write_bytes(data)
    return list(unpack(path, Limits(**limits)))


def zipped(members, compression=zipfile.ZIP_STORED, comment=b""):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.comment = comment
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return stream.getvalue()


def test_round_trip_in_order_whatever_the_order_given(tmp_path):
    backwards = dict(reversed(SMALL.items()))
    assert packed(backwards) == packed()
    found = unpacked(tmp_path, packed())
    assert found == [(name, b"".join(parts)) for name, parts in SMALL.items()]


def test_bytes_as_documented():
    # Independent of the implementation: PKWARE's layout, field by field.
    data = packed({CERTIFICATE: [b"123456789"], SEAL: [b""]})
    crc = struct.pack("<I", 0xCBF43926)  # CRC-32's published check value
    first = b"PK\3\4" + b"\x14\0" + b"\0\0" * 3 + b"\x21\0" + crc + b"\t\0\0\0" * 2
    first += b"\x10\0" + b"\0\0" + b"certificate.json" + b"123456789"
    assert data.startswith(first)
    assert data.endswith(b"\0\0")  # no comment


def test_python_zipfile_reads_it():
    with zipfile.ZipFile(io.BytesIO(packed())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(SMALL)
        assert archive.read("value/x.npy") == b"headdata"
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"file_bytes": 100}, "more than the limit 100"),
        ({"members": 2}, "3 members"),
        ({"member_bytes": 70}, None),
        ({"member_bytes": 7}, "certificate.sha256 has 65 bytes"),
        ({"json_bytes": 2}, "certificate.json has 3 bytes"),
    ],
)
def test_limits(tmp_path, limits, reason):
    if reason is None:
        assert len(unpacked(tmp_path, packed(), **limits)) == 3
        return
    with pytest.raises(Unreadable, match=reason):
        unpacked(tmp_path, packed(), **limits)


def rename(old, new):
    assert len(old) == len(new)
    return packed().replace(old, new)


def overlapping():
    """A directory whose entries both point at the same data (a bomb's trick)."""
    data = packed({**SMALL, "value/y.npy": [b"head", b"data"]})
    last = data.rindex(b"PK\1\2")
    first = data.rindex(b"PK\1\2", 0, last)
    offset = data[first + 42 : first + 46]
    return data[: last + 42] + offset + data[last + 46 :]


HOSTILE = {
    "empty": b"",
    "short": b"PK\5\6",
    "no zip": b"x" * 100,
    "empty zip": b"PK\5\6" + b"\0" * 18,
    "zip without certificate": zipped([("value/x.npy", b"")]),
    "zip of another tool": zipped([(name, b"".join(d)) for name, d in SMALL.items()]),
    "bomb": zipped([(CERTIFICATE, b"0" * 10**7)], zipfile.ZIP_DEFLATED),
    "comment": zipped([(CERTIFICATE, b"")], comment=b"hello"),
    "comment that ends like an archive": packed()[:-2] + b"\x16\0" + packed()[-22:],
    "parent folder": rename(b"value/x.npy", b"../../x.npy"),
    "absolute": rename(b"value/x.npy", b"/alue/x.npy"),
    "backslash": rename(b"value/x.npy", b"value\\x.npy"),
    "upper case": rename(b"value/x.npy", b"value/X.npy"),
    "other folder": rename(b"value/x.npy", b"velue/x.npy"),
    "not ASCII": rename(b"value/x.npy", b"value/\xe9.npy"),
    "NUL": rename(b"value/x.npy", b"value/\0.npy"),
    "line end": rename(b"value/x.npy", b"value/x.np\n"),
    "wrong suffix": rename(b"value/x.npy", b"value/x.pkl"),
    "no certificate": rename(CERTIFICATE.encode(), b"certificate.jsoN"),
    "data before": b"#!/bin/sh\n" + packed(),
    "twice": packed() + packed(),
    "overlap": overlapping(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused(tmp_path, name):
    with pytest.raises(Unreadable):
        unpacked(tmp_path, HOSTILE[name])


def test_member_twice_is_refused(tmp_path):
    two = packed({**SMALL, "value/y.npy": [b"head", b"data"]})
    with pytest.raises(Unreadable, match="comes twice"):
        unpacked(tmp_path, two.replace(b"value/y.npy", b"value/x.npy"))


def test_order_matters(tmp_path):
    two = packed({**SMALL, "value/y.npy": [b"head", b"data"]})
    swapped = two.replace(b"value/x.npy", b"value/z.npy")
    with pytest.raises(Unreadable, match="not in order"):
        unpacked(tmp_path, swapped)


def test_stated_sizes_are_not_believed(tmp_path):
    """A directory may promise 4 GiB; nothing of that size is ever allocated."""
    data = packed()
    size = struct.pack("<I", 8)
    for value in (0, 7, 9, 2**31, 2**32 - 1):
        other = data.replace(size * 2, struct.pack("<I", value) * 2)
        assert other != data
        with pytest.raises(Unreadable):
            unpacked(tmp_path, other, member_bytes=2**40)


def test_members_beyond_the_count_are_noticed(tmp_path):
    data = bytearray(packed())
    for count in (0, 1, 2, 4, 65535):
        data[-14:-10] = struct.pack("<HH", count, count)
        with pytest.raises(Unreadable):
            unpacked(tmp_path, bytes(data), members=65535)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    for path, reason in [
        (tmp_path, "not a file"),
        (tmp_path / "pipe", "not a file"),
        (tmp_path / "none", "No such file"),
        (tmp_path / "a\0b", "cannot be opened"),
        (tmp_path / ("x" * 5000), "cannot be opened"),
    ]:
        with pytest.raises(Unreadable, match=reason):
            list(unpack(path, Limits()))


class Huge(bytes):
    """Bytes that claim to be 4 GiB long; nothing is allocated."""

    def __len__(self):
        return 2**32


def test_four_gibibytes_are_refused_before_writing():
    stream = io.BytesIO()
    with pytest.raises(ValueError, match="4 GiB"):
        pack(stream, {CERTIFICATE: [Huge()]})
    assert stream.getvalue() == b""
