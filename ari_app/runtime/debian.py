"""The closure: Asterisk, baresip and SIPp from Debian forky with everything they link to, in a folder, without root.

    closure = ensure_closure()
    subprocess.run([*closure.command("usr/sbin/asterisk"), "-V"])

It runs through its own dynamic loader, so that it works on any glibc-based machine whatever its release.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console

from ari_app.runtime.apt import Package
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.packages import Recipe, Unpacked, ensure

SUITE = "forky"
PACKAGES = (
    "asterisk",
    "asterisk-core-sounds-en-wav",
    "asterisk-moh-opsound-wav",
    "baresip-core",
    "sip-tester",
)
LAYOUT = 1

OLDEST_ASTERISK = (22, 6)
"""The first with what the bridge needs of chan_websocket and the outbound websocket client."""


@dataclass(frozen=True)
class Closure:
    """Programs of another Debian release in a folder of their own."""

    root: Path
    versions: dict[str, str] = field(repr=False)
    """Package name to version."""

    def command(self, program: str) -> list[str]:
        """The argument list that runs `program` (such as "usr/sbin/asterisk"); append its arguments."""
        return [str(self._loader), "--library-path", self.library_path, str(self.root / program)]

    @cached_property
    def library_path(self) -> str:
        return ":".join(str(folder) for folder in self._library_folders)

    @cached_property
    def asterisk_modules(self) -> Path:
        return self._library_folders[0] / "asterisk/modules"

    @property
    def asterisk_data(self) -> Path:
        """Asterisk's astdatadir: sounds, music on hold, ARI's descriptions."""
        return self.root / "usr/share/asterisk"

    @property
    def baresip_modules(self) -> Path:
        return self.root / "usr/lib/baresip/modules"

    @cached_property
    def _loader(self) -> Path:
        return _only(self.root, "usr/lib*/ld-linux*.so.*")

    @cached_property
    def _library_folders(self) -> list[Path]:
        return [_only(self.root, "usr/lib/*-linux-gnu*"), self.root / "usr/lib"]


def _only(root: Path, pattern: str) -> Path:
    found = sorted(root.glob(pattern))
    if not found:
        raise UnavailableError(f"The folder {root} has no {pattern}; remove it and start again.")
    return found[0]


def ensure_closure(console: Console | None = None) -> Closure:
    """The closure from the cache, or fetched into it; see `packages.ensure`. Raises UnavailableError."""
    recipe = Recipe("Asterisk, baresip and SIPp", SUITE, PACKAGES, LAYOUT, check=_require_version, finish=_finish)
    unpacked = ensure(recipe, console)
    return Closure(unpacked.root, unpacked.versions)


def _require_version(packages: Sequence[Package]) -> None:
    version = next(package.version for package in packages if package.name == "asterisk")
    numbers = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_ASTERISK:
        raise UnavailableError(
            f"The mirror's {SUITE} has Asterisk {version}; {'.'.join(map(str, OLDEST_ASTERISK))} or newer is needed."
        )


def _finish(unpacked: Unpacked) -> None:
    (unpacked.root / "usr/share/asterisk/sounds/en").symlink_to("en_US_f_Allison")  # update-alternatives' work
    closure = Closure(unpacked.root, unpacked.versions)
    done = subprocess.run(
        [*closure.command("usr/sbin/asterisk"), "-V"], capture_output=True, text=True, timeout=30, check=False
    )
    if not done.stdout.startswith("Asterisk "):
        raise UnavailableError(f"The fetched Asterisk does not run here: {(done.stderr or done.stdout).strip()}")
