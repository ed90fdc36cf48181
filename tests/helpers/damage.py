"""Damaged files: seeded changes of bytes, of JSON by its structure, and of archives and journals below their checksums."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np

Rng = np.random.Generator
DEEP = 100_000
#: Values of other types and sizes than a field has.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**70, -(2**70), 10**400, 0.5, -0.5, 1e308, 1e-320),
    *("", "x", "\x1b[31m", "../../x", "/", "\0", "a" * 10_000, "\u0661", "hattriq_cirq.Run/9"),
    *([], {}, [[]], [1], ["x"], {"x": 1}, {"": None}, [0] * 1000, [None, 1, "x", {}]),
    *({"cirq_type": "LineQubit", "x": 2**70}, {"cirq_type": "NoSuchType"}),
)
#: JSON texts that no value of Python gives.
TEXTS = ("9" * 5000, "NaN", "-Infinity", "1e999", "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP)


def change_bytes(content: bytes, rng: Rng) -> bytes:
    """Flip bits, cut, insert, remove, repeat or overwrite bytes."""
    data = bytearray(content)
    place, length = int(rng.integers(len(data) + 1)), int(rng.integers(1, 40))
    match int(rng.integers(6)):
        case 0:
            for _ in range(int(rng.integers(1, 4))):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        case 1:
            del data[place:]
        case 2:
            data[place:place] = rng.bytes(length)
        case 3:
            del data[place : place + length]
        case 4:
            data[place:place] = data[place : place + length] * 3
        case _:
            data[place : place + length] = bytes([int(rng.choice([0, 48, 57, 91, 123, 255]))]) * length
    return bytes(data)


def change_json(text: str, rng: Rng) -> str:
    """Replace, remove, rename, add or nest one value of JSON."""
    whole = [json.loads(text)]
    places = list(_places(whole))
    parent, key = places[int(rng.integers(len(places)))]
    new = VALUES[int(rng.integers(len(VALUES)))]
    match int(rng.integers(7)):
        case 0 | 1 | 2:
            parent[key] = new
        case 3 if parent is not whole:
            del parent[key]
        case 4 if isinstance(parent, dict):
            parent[f"{key}2"] = parent.pop(key)
        case 5 if isinstance(parent, dict):
            parent[f"{key}2"] = new
        case _:
            parent[key] = "PLACE"
            return json.dumps(whole[0]).replace('"PLACE"', TEXTS[int(rng.integers(len(TEXTS)))])
    return json.dumps(whole[0])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a value and its children, as container and key; long lists by their first entries."""
    keys = list(value) if isinstance(value, dict) else range(min(len(value), 4))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def change_journal(content: bytes, rng: Rng) -> bytes:
    """Change one record of a journal below its checksum, or repeat, remove or exchange records."""
    lines = content.splitlines(keepends=True)
    one, two = (int(i) for i in rng.integers(len(lines), size=2))
    match int(rng.integers(10)):
        case 0:
            lines[one], lines[two] = lines[two], lines[one]
        case 3 | 4:
            return _change_circuit(content, rng)
        case 1:
            del lines[one]
        case 2:
            lines.insert(two, lines[one])
        case _:
            lines[one] = line_of(change_json(lines[one][9:-1].decode(), rng).encode())
    return b"".join(lines)


def _change_circuit(content: bytes, rng: Rng) -> bytes:
    """Change a circuit that a journal records, and its name with it."""
    records = [json.loads(line[9:]) for line in content.splitlines()]
    circuits = next(record["circuits"] for record in records if record.get("circuits"))
    name = sorted(circuits)[int(rng.integers(len(circuits)))]
    text = change_json(gzip.decompress(base64.b64decode(circuits[name])).decode(), rng).encode()
    circuits[name] = base64.b64encode(gzip.compress(text)).decode()
    new = sha256(text).hexdigest()
    return b"".join(line_of(json.dumps(record).replace(name, new).encode()) for record in records)


def line_of(text: bytes) -> bytes:
    """Return JSON text as a line of a journal with the right checksum."""
    return b"%08x %b\n" % (zlib.crc32(text), text)


def change_archive(content: bytes, rng: Rng) -> bytes:
    """Change one member of an .npz file, its header or its entry in the directory, with right checksums where there can be."""
    members = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for each in archive.infolist():
            members[each.filename] = archive.read(each)
    name = str(rng.choice(sorted(members)))
    method = zipfile.ZIP_STORED if rng.integers(2) else zipfile.ZIP_DEFLATED
    match int(rng.integers(6)):
        case 0:
            members[name] = change_bytes(members[name], rng)
        case 1:
            members[name] = _with_header(members[name], _HEADERS[int(rng.integers(len(_HEADERS)))])
        case 2:
            members[f"{name}2"] = members.pop(name)
        case 3:
            members[name] = npy(VALUES_OF_ARRAYS[int(rng.integers(len(VALUES_OF_ARRAYS)))])
        case 4:
            method = int(rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED]))
        case _ if "meta.npy" in members:
            meta = str(np.load(io.BytesIO(members["meta.npy"])))
            members["meta.npy"] = npy(np.array(change_json(meta, rng)))
        case _:
            del members[name]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    whole = bytearray(buffer.getvalue())
    if not rng.integers(4):  # sizes or method in the directory
        entry = whole.rfind(b"PK\x01\x02")
        place, form = [(10, "<H"), (20, "<I"), (24, "<I"), (8, "<H"), (42, "<I")][int(rng.integers(5))]
        struct.pack_into(form, whole, entry + place, int(rng.choice([0, 1, 14, 97, 2**15, 2**16 - 1])))
    return bytes(whole)


_HEADERS = (
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 1099511627776), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 4), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2, 4), }",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (), }",
    "{'descr': '<U999999999', 'fortran_order': False, 'shape': (), }",
    "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2, 4), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
    "{'descr': 'x', 'fortran_order': False, 'shape': (2, 4), }",
    "{'descr': '<f8', 'shape': (2, 4), }",
    "{(" * 50,
    "'''",
    "[" * 5000,
    "9" * 5000,
)
VALUES_OF_ARRAYS = (
    np.zeros(0),
    np.zeros((2, 4), complex),
    np.full((2, 4), np.nan),
    np.array("x"),
    np.zeros((2, 4), bool),
    np.zeros((4, 2)),
    np.float64(1),
    np.zeros((2, 4), np.int8),
    np.array(["a", "b"]),
    np.zeros((2,) * 20),
)


def _with_header(member: bytes, header: str) -> bytes:
    """Return an .npy file with another header."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + member[128:]


def npy(array: Any) -> bytes:
    """Return an array as an .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def change_gzip(content: bytes, rng: Rng) -> bytes:
    """Change a compressed file, or what is in it."""
    if rng.integers(2):
        return change_bytes(content, rng)
    data = bytearray(gzip.decompress(content))
    if rng.integers(2):
        struct.pack_into(">I", data, 4 * int(rng.integers(1, 3)), int(rng.choice([0, 1, 2**20, 2**31, 2**32 - 1])))
        return gzip.compress(bytes(data), 1)
    return gzip.compress(change_bytes(bytes(data), rng), 1)


def change_table(text: str, rng: Rng) -> str:
    """Change one cell of a CSV file."""
    lines = text.splitlines()
    row = int(rng.integers(len(lines)))
    cells = lines[row].split(",")
    odd = (
        "1_000",
        "\u0661",
        "\uff11",
        "nan",
        "inf",
        "1e999",
        "0x1",
        "\0",
        "\x1b[31m",
        '"',
        '"a\nb"',
        "",
        " ",
        "1,2",
        "1" * 5000,
        "True",
    )
    cells[int(rng.integers(len(cells)))] = odd[int(rng.integers(len(odd)))]
    lines[row] = ",".join(cells)
    return "\n".join(lines) + "\n"
