"""Files that are there completely or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file, new or in place of another, and its folder if need be. Nobody sees half of it, and it
    survives a power cut. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
