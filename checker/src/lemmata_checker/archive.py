"""The canonical zip: one byte sequence for given members, no other accepted.

Stored, not compressed; no extra fields, comments or 64-bit records; every date
1980-01-01. So a reader needs no decompression, knows every size from the
directory, and can compare each byte around the data with the only right one.

Source: PKWARE's .ZIP application note, sections 4.3.7, 4.3.12 and 4.3.16.
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .errors import Unreadable

CERTIFICATE, SEAL = "certificate.json", "certificate.sha256"
MEMBER = re.compile(r"(problem|value|witness|trace)/[a-z0-9_]{1,64}\.npy")
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION, _DATE = 20, 0x0021  # 2.0; 1980-01-01 in MS-DOS form
_TOO_LONG = 2**32  # sizes and offsets are 32-bit fields

Buffer = bytes | memoryview


@dataclass(frozen=True)
class Limits:
    """What is refused before it is read.

    **Fields:**

    - `file_bytes`, `member_bytes`: the file, and one array with its header.
    - `members`: how many members.
    - `json_bytes`, `json_depth`: `certificate.json`, and how deep it nests.
    """

    file_bytes: int = 2**31
    member_bytes: int = 2**31
    members: int = 4096
    json_bytes: int = 2**23
    json_depth: int = 32


class _Entry(NamedTuple):
    name: str
    crc: int
    size: int
    offset: int

    def local(self) -> bytes:
        name = self.name.encode("ascii")
        sizes = (self.crc, self.size, self.size, len(name), 0)
        return _LOCAL.pack(b"PK\3\4", _VERSION, 0, 0, 0, _DATE, *sizes) + name

    def central(self) -> bytes:
        name = self.name.encode("ascii")
        fixed = (b"PK\1\2", _VERSION, _VERSION, 0, 0, 0, _DATE)
        sizes = (self.crc, self.size, self.size, len(name), 0, 0, 0, 0, 0)
        return _CENTRAL.pack(*fixed, *sizes, self.offset) + name


def order(name: str) -> tuple[int, str]:
    """Sort key of members: certificate, its seal, then arrays by name."""
    return (0 if name == CERTIFICATE else 1 if name == SEAL else 2, name)


def pack(stream: BinaryIO, members: Mapping[str, Sequence[Buffer]]) -> None:
    """Write members, each given as buffers to be joined, in canonical order.

    **Raises:** `ValueError` if the archive would reach 4 GiB.
    """
    entries, offset = [], 0
    for name in sorted(members, key=order):
        buffers, crc = members[name], 0
        size = sum(len(buffer) for buffer in buffers)
        for buffer in buffers:
            crc = zlib.crc32(buffer, crc)
        if offset + size + _LOCAL.size + len(name) >= _TOO_LONG:
            raise ValueError("a certificate is smaller than 4 GiB; do not embed")
        entry = _Entry(name, crc, size, offset)
        for buffer in (entry.local(), *buffers):
            offset += stream.write(buffer)
        entries.append(entry)
    directory = b"".join(entry.central() for entry in entries)
    stream.write(directory + _end(len(entries), len(directory), offset))


def unpack(path: str | Path, limits: Limits) -> Iterator[tuple[str, bytes]]:
    """Yield `(name, data)` in order, after the whole directory was approved.

    **Raises:** `Unreadable` for any byte that `pack` would not have written,
    and for anything beyond the limits.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Unreadable("not a file")
        with open(path, "rb") as stream:
            entries = _directory(stream, limits)
            stream.seek(0)
            for entry in entries:
                header = entry.local()
                if stream.read(len(header)) != header:
                    raise Unreadable(f"the header of {entry.name} was changed")
                data = stream.read(entry.size)
                if len(data) != entry.size or zlib.crc32(data) != entry.crc:
                    raise Unreadable(f"the data of {entry.name} were changed")
                yield entry.name, data
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(f"cannot be opened: {reason}") from error


def _end(count: int, size: int, offset: int) -> bytes:
    return _END.pack(b"PK\5\6", 0, 0, count, count, size, offset, 0)


def _directory(stream: BinaryIO, limits: Limits) -> list[_Entry]:
    """The approved directory: every size in it is bounded and adds up."""
    length = stream.seek(0, os.SEEK_END)
    if length > limits.file_bytes:
        raise Unreadable(f"{length} bytes, more than the limit {limits.file_bytes}")
    if length < _END.size:
        raise Unreadable("too short to be a certificate")
    stream.seek(length - _END.size)
    end = stream.read(_END.size)
    _, _, _, _, count, size, start, _ = _END.unpack(end)
    if end != _end(count, size, start) or start + size + _END.size != length:
        raise Unreadable("not a lemma file, or cut short, or changed")
    longest = _CENTRAL.size + 80  # no allowed name is longer than 80 bytes
    if count > limits.members or size > count * longest:
        raise Unreadable(f"{count} members, more than the limit {limits.members}")
    stream.seek(start)
    entries = _entries(stream.read(size), count)
    _approve(entries, start, limits)
    return entries


def _entries(directory: bytes, count: int) -> list[_Entry]:
    entries, position = [], 0
    for _ in range(count):
        fixed = directory[position : position + _CENTRAL.size]
        if len(fixed) < _CENTRAL.size:
            raise Unreadable("its directory is cut short")
        fields = _CENTRAL.unpack(fixed)
        position += _CENTRAL.size
        raw = directory[position : position + fields[10]]
        position += len(raw)
        name = raw.decode("latin-1")
        if name not in (CERTIFICATE, SEAL) and not MEMBER.fullmatch(name):
            raise Unreadable(f"{name[:80]!r} is no name of a member")
        entry = _Entry(name, fields[7], fields[9], fields[16])
        if fixed + raw != entry.central():
            raise Unreadable(f"the directory entry of {name} is not canonical")
        entries.append(entry)
    if position != len(directory):
        raise Unreadable("its directory is longer than its entries")
    return entries


def _approve(entries: list[_Entry], start: int, limits: Limits) -> None:
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names) or names != sorted(names, key=order):
        raise Unreadable("its members are not in order, or one comes twice")
    if names[:2] != [CERTIFICATE, SEAL]:
        raise Unreadable(f"not a lemma file: {CERTIFICATE} or {SEAL} is missing")
    offset = 0
    for entry in entries:
        most = limits.json_bytes if entry.name == CERTIFICATE else limits.member_bytes
        if entry.size > most:
            raise Unreadable(
                f"{entry.name} has {entry.size} bytes, the limit is {most}"
            )
        if entry.offset != offset:
            raise Unreadable(f"{entry.name} does not start where it should")
        offset += _LOCAL.size + len(entry.name) + entry.size
    if offset != start:
        raise Unreadable("its directory does not start where it should")
