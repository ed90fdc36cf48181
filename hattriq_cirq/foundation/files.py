"""Writing results once: a file that exists is never overwritten, and a torn write leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_new(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Writes a new file, whole or not at all.

    Args:
        path: where; missing folders are made.
        content: bytes, or text written as UTF-8.

    Returns:
        The path.

    Raises:
        FileExistsError: the path exists; nothing is changed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        try:
            os.link(draft, target)  # unlike a rename, refuses to replace
        except FileExistsError:
            raise FileExistsError(f"{target} exists and is not overwritten; choose another path or remove it") from None
    finally:
        os.unlink(draft)
    return target
