"""Files that are written once: an existing file is never overwritten, and an interrupted write leaves no file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_new(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a new file, completely or not at all.

    Args:
        path: Path of the file; missing folders are created.
        content: Bytes, or text that is written as UTF-8.

    Returns:
        The path.

    Raises:
        FileExistsError: The path exists; nothing is changed.
    """
    new_file = Path(path)
    new_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=new_file.parent, prefix=f".{new_file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        try:
            os.link(draft, new_file)  # unlike a rename, a link does not replace a file
        except FileExistsError:
            raise FileExistsError(f"{new_file} exists and is not overwritten; choose another path or remove it") from None
    finally:
        os.unlink(draft)
    return new_file
