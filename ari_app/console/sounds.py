"""Sound files as browsers play them: only from our folders, whatever a name says; ranges are answered."""

import re
from pathlib import Path

from aiohttp import web

_NAME = re.compile(r"[A-Za-z0-9_&-][A-Za-z0-9_/&.-]{0,199}")

#: As Asterisk names them; all of these are RIFF files.
EXTENSIONS = (".wav16", ".wav")


def within(folder: Path, file: str | Path) -> Path | None:
    """The real path of a file, if it is in the folder, links followed; None for everything else.

    `file` is relative to the folder, or absolute. Blocking, but short.
    """
    try:
        root = folder.resolve(strict=True)
        path = (root / file).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None


def find_sound(folder: Path, name: str) -> Path | None:
    """A sound of Asterisk by its name without extension, such as `digits/1`."""
    if not _NAME.fullmatch(name):
        return None
    return next((path for extension in EXTENSIONS if (path := within(folder, name + extension))), None)


def played(path: Path | None) -> web.FileResponse:
    """Raises HTTPNotFound for None."""
    if path is None:
        raise web.HTTPNotFound
    headers = {"Content-Type": "audio/wav", "Cache-Control": "private, no-cache"}
    return web.FileResponse(path, headers=headers)
