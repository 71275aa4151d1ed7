"""The folder of one run: sockets, configuration, logs, database. Temporary, ours alone, and removed in the end."""

import fcntl
import shutil
import tempfile
from pathlib import Path

PREFIX = "asterisk-whatsapp-"
LONGEST_BASE = 40
"""Characters. Asterisk's control socket lies below it, and a unix socket's path has 108 bytes at most (unix(7))."""


class RunFolder:
    """A new folder below the temporary folder; a context manager that removes it unless `keep`.

    A run that was killed leaves its folder; the next run of the same user finds it unlocked and removes it.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        base = Path(tempfile.gettempdir())
        if len(str(base)) > LONGEST_BASE:
            base = Path("/tmp")  # noqa: S108 - mkdtemp makes a folder of our own in it
        _sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self.path.chmod(0o711)  # PostgreSQL runs under another account if we are root: it may pass, not look
        self.logs = self.path / "logs"
        self.logs.mkdir(mode=0o700)
        self._lock = (self.path / "lock.new").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.path / "lock.new").rename(self.path / "lock")  # nobody ever sees it unlocked while we run

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.keep:
            (self.path / "keep").touch()
        self._lock.close()
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)


def _sweep(base: Path) -> None:
    """Remove the folders of runs that were killed."""
    for lock in base.glob(f"{PREFIX}*/lock"):
        if (lock.parent / "keep").exists():
            continue
        try:
            with lock.open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            continue  # another user's, or in use
