"""Style sheet, script and icons: read once, served with a name that changes with their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("static")

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Asset:
    content: bytes
    content_type: str


class Assets:
    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.name: Asset(path.read_bytes(), _TYPES[path.suffix])
            for path in sorted(folder.iterdir())
            if path.suffix in _TYPES
        }
        content = b"".join(name.encode() + asset.content for name, asset in self._files.items())
        self.version = hashlib.sha256(content).hexdigest()[:12]

    def address(self, name: str) -> str:
        """Raises KeyError for a file that is not there: a fault in a template."""
        self._files[name]
        return f"/static/{self.version}/{name}"

    def find(self, name: str) -> Asset | None:
        return self._files.get(name)
