"""Bytes and arrays from files whose announced sizes lie, or that expand beyond every measure."""

from __future__ import annotations

import gzip
import io
import os
import resource
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from hattriq_cirq import datasets
from hattriq_cirq.attribution.result import Attribution
from hattriq_cirq.foundation.array_files import read_arrays
from hattriq_cirq.foundation.reading import MAX_BYTES, FileError, inflate, read_bytes


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def header(shape: tuple[int, ...], descr: str = "<f8") -> str:
    return str({"descr": descr, "fortran_order": False, "shape": shape})


def write_archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


Y = npy(header((2,)), bytes(16))
ARCHIVES: dict[str, tuple[dict[str, bytes], str]] = {
    "2**40 rows": ({"x.npy": npy(header((2**40,)))}, "array x: its header announces (1099511627776,)"),
    "2**80 numbers": ({"x.npy": npy(header((2**40, 2**40)))}, "array x: its header announces"),
    "negative length": ({"x.npy": npy(header((-2, -1)), bytes(16))}, "negative length"),
    "garbage": ({"x.npy": npy("{(" * 40)}, "not a zip archive, or a damaged one"),
    "open quotes": ({"x.npy": npy("'''")}, "damaged"),
    "deep nesting": ({"x.npy": npy("[" * 5000)}, "damaged"),
    "objects": ({"x.npy": npy(header((1,), "|O"), bytes(8))}, "array x: its type is object, must be numbers or text"),
    "records": ({"x.npy": npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}", bytes(8))}, "its type is"),
    "short": ({"x.npy": npy(header((4,)), bytes(16))}, "32 bytes; the archive holds 16"),
    "long": ({"x.npy": npy(header((1,)), bytes(16))}, "8 bytes; the archive holds 16"),
    "empty member": ({"x.npy": b""}, "damaged"),
    "absent": ({"z.npy": Y}, "arrays x are missing, found z, y"),
}


@pytest.mark.parametrize(("members", "words"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_damaged_array_is_refused_before_memory_is_taken(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    file = write_archive(tmp_path / "own.npz", members | {"y.npy": Y})
    with pytest.raises(FileError) as caught:
        read_arrays(file, ("x", "y"))
    assert words in str(caught.value)
    with pytest.raises(FileError, match=r"own\.npz is not a saved attribution"):
        Attribution.load(file)
    with pytest.raises(ValueError, match=r"own\.npz must be an \.npz"):
        datasets.read_table(file)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(tmp_path: Path, method: int) -> None:
    with pytest.raises(FileError, match="array x: compression method"):
        read_arrays(write_archive(tmp_path / "own.npz", {"x.npy": Y}, method))


def test_unknown_compression_and_damaged_stream_are_refused(tmp_path: Path) -> None:
    intact = write_archive(
        tmp_path / "own.npz", {"x.npy": npy(header((50,)), np.random.default_rng(0).bytes(400))}
    ).read_bytes()
    for place, value in ((intact.rfind(b"PK\x01\x02") + 10, 97), (100, 255), (101, 0), (200, 7), (0, 9)):
        damaged = bytearray(intact)
        damaged[place] = value
        (tmp_path / "own.npz").write_bytes(damaged)
        if damaged != intact:
            with pytest.raises(FileError, match=r"own\.npz"):
                read_arrays(tmp_path / "own.npz")


def announce(content: bytes, size: int) -> bytes:
    """Return an archive of one member whose directory announces another size of its content."""
    data = bytearray(content)
    struct.pack_into("<I", data, data.rfind(b"PK\x01\x02") + 24, size)
    return bytes(data)


@pytest.mark.parametrize("size", [2**20, 2**31 - 1, 2**32 - 2])
def test_announced_size_that_the_bytes_cannot_hold_is_refused(tmp_path: Path, size: int) -> None:
    file = write_archive(tmp_path / "own.npz", {"x.npy": npy(header((2**10,)), bytes(2**13))})
    file.write_bytes(announce(file.read_bytes(), size))
    with pytest.raises(FileError, match=r"cannot hold the .* announced|more than the limit|damaged|announces"):
        read_arrays(file)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def zeros(count: int) -> bytes:
    """Return as many zeros, a multiple of 2**20, compressed by deflate without a header: one block, repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (count >> 20) + packer.flush()


@pytest.mark.parametrize("order", ["<", ">"])
def test_text_beyond_the_last_character_is_refused(order: Literal["<", ">"], tmp_path: Path) -> None:
    text = np.array(["last \U0010ffff", "b"]).astype(f"{order}U6")
    np.savez(tmp_path / "good.npz", names=text)
    assert read_arrays(tmp_path / "good.npz")["names"].tolist() == text.tolist()
    codes = text.view(np.dtype(np.uint32).newbyteorder(order)).copy()
    codes[3] = 0x110000
    np.savez(tmp_path / "bad.npz", names=codes.view(text.dtype))
    with pytest.raises(FileError, match="array names: its text has a character beyond the last one, 0x10ffff"):
        read_arrays(tmp_path / "bad.npz")


def test_archive_of_3_megabytes_that_expands_to_3_gigabytes_is_refused(tmp_path: Path) -> None:
    packed, head = zeros(3 * 2**30), npy(header((3 * 2**27,)))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:  # the size of a member is written as it is announced
        archive.writestr("x.npy", head + packed)
    data = bytearray((tmp_path / "bomb.npz").read_bytes())
    entry = data.rfind(b"PK\x01\x02")
    struct.pack_into("<H", data, entry + 10, zipfile.ZIP_DEFLATED)
    struct.pack_into("<I", data, entry + 24, 3 * 2**30)
    (tmp_path / "bomb.npz").write_bytes(data)
    before = peak_megabytes()
    with pytest.raises(FileError, match=f"3,221,225,472 bytes, more than the limit of {MAX_BYTES:,}"):
        read_arrays(tmp_path / "bomb.npz")
    assert peak_megabytes() - before < 50


@pytest.mark.parametrize("announced", [12, 2**15, 2**23, 2**32 - 1])
def test_compressed_images_are_read_no_further_than_announced(tmp_path: Path, announced: int) -> None:
    """Images of 8 MB that expand to 8 GiB, of which the header announces another number."""
    stream = zeros(2**33)
    head = b"\0\0\x08\x03" + np.array([announced, 28, 28], ">u4").tobytes()
    packer = zlib.compressobj(9, wbits=-15)
    first = packer.compress(head) + packer.flush(zlib.Z_SYNC_FLUSH)
    content = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + first + stream + bytes(8)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    for name, dimensions in (("train-labels-idx1-ubyte", 1), ("t10k-images-idx3-ubyte", 3), ("t10k-labels-idx1-ubyte", 1)):
        (tmp_path / name).write_bytes(b"\0\0\x08" + bytes([dimensions]) + bytes(4 * dimensions))
    before = peak_megabytes()
    with pytest.raises(FileError, match=r"than its header|limit|cannot hold"):
        datasets.mnist_idx(tmp_path)
    assert peak_megabytes() - before < 50


def test_stream_is_inflated_up_to_its_limit() -> None:
    assert inflate(zlib.compress(b"abc"), 3, "part") == b"abc"
    assert inflate(gzip.compress(b"abc"), 3, "part") == b"abc"
    for content, words in [
        (zlib.compress(bytes(2**24)), "expand to more than 3 bytes"),
        (zlib.compress(b"abc")[:-1], "incomplete"),
        (zlib.compress(b"abc") + b"x", "more follow"),
        (b"no stream", "damaged"),
        (b"", "incomplete"),
    ]:
        with pytest.raises(FileError, match=f"part: .*{words}"):
            inflate(content, 3, "part")


def test_files_that_are_no_regular_files_or_too_large_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    for name, words in (("pipe", "not a regular file"), ("sparse", "1,099,511,627,776 bytes, more than the limit")):
        with pytest.raises(FileError, match=words):
            read_bytes(tmp_path / name)
    for reader in (read_bytes, read_arrays):
        with pytest.raises(FileError, match="not a regular file"):
            reader(tmp_path / "pipe")


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "a": np.arange(6).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.array([1j, 2]),
        "t": np.array(["x", "yy"]),
        "empty": np.zeros((0, 4)),
        "scalar": np.float32(2),
        "big": np.arange(3, dtype=">i4"),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "own.npz", **arrays)
        for name, array in read_arrays(tmp_path / "own.npz").items():
            np.testing.assert_array_equal(array, arrays[name])
            assert array.dtype == np.asarray(arrays[name]).dtype
        (tmp_path / "own.npz").unlink()


def test_text_that_looks_like_an_archive_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"PK", b"PK\x03\x04" + bytes(100), io.BytesIO(b"x" * 50).getvalue()):
        (tmp_path / "own.npz").write_bytes(content)
        with pytest.raises(FileError, match=r"not a zip archive"):
            read_arrays(tmp_path / "own.npz")
