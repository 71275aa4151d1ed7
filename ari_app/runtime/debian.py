"""The closure: Asterisk, baresip and SIPp from Debian forky with everything they link to, in a folder, without root.

    closure = ensure_closure()
    subprocess.run([*closure.command("usr/sbin/asterisk"), "-V"])

It is fetched once into the user's cache (XDG_CACHE_HOME), verified by apt against Debian's signatures, and run
through its own dynamic loader, so that it works on any glibc-based machine whatever its release.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from ari_app.runtime.apt import Mirror, Package, PrivateApt, mirrors, require_tools
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.processes import bound_to_us

SUITE = "forky"
PACKAGES = (
    "asterisk",
    "asterisk-core-sounds-en-wav",
    "asterisk-moh-opsound-wav",
    "baresip-core",
    "sip-tester",
)
LAYOUT = 1
"""Raised when what we make of the packages changes, so that older caches are built anew."""

OLDEST_ASTERISK = (22, 6)
"""The first with what the bridge needs of chan_websocket and the outbound websocket client."""

KEPT_UNUSED_DAYS = 30
UNUSED_PARTS = (
    "usr/include",
    "usr/lib/python3",
    "usr/lib/python3.*",
    "usr/share/doc",
    "usr/share/gcc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/share/python3",
)
MANIFEST = "closure.json"


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


def cache_folder() -> Path:
    """Where downloads are kept between runs: `$XDG_CACHE_HOME/asterisk-whatsapp`, else under ~/.cache."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "asterisk-whatsapp"


def ensure_closure(console: Console | None = None) -> Closure:
    """The closure from the cache; fetched first if it is not there yet or is another one than this code needs.

    Blocks: milliseconds with a warm cache (no network needed), else about 15 s on a good line. Progress goes to
    `console`, stderr by default. Safe in several processes at once: one fetches, the others wait.
    Raises UnavailableError.
    """
    console = console or Console(stderr=True)
    recipe = _recipe()
    folder = cache_folder()
    target = folder / f"{SUITE}-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]}"
    closure = _open(target, recipe)
    if closure is not None:
        return closure
    require_tools()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock", console):
            closure = _open(target, recipe)
            if closure is None:
                _build(target, recipe, console)
                closure = _open(target, recipe)
                _prune(folder, target)
    except OSError as error:
        raise UnavailableError(f"The cache {folder} cannot be written: {error}") from error
    if closure is None:
        raise UnavailableError(f"{target} is not what was just written there.")
    return closure


def _recipe() -> dict[str, object]:
    return {"layout": LAYOUT, "suite": SUITE, "packages": PACKAGES, "machine": os.uname().machine}


def _open(target: Path, recipe: dict[str, object]) -> Closure | None:
    """The closure at `target` if it is whole and made by this recipe."""
    manifest = target / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        closure = Closure(target, content["versions"])
        if content["recipe"] != json.loads(json.dumps(recipe)):
            return None
    except (FileNotFoundError, KeyError, ValueError):
        return None
    with suppress(PermissionError):  # a cache that belongs to somebody else serves as well
        os.utime(manifest)  # it is in use: see _prune
    return closure


@contextmanager
def _locked(path: Path, console: Console) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("Another process is fetching Asterisk; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(target: Path, recipe: dict[str, object], console: Console) -> None:
    console.print(
        f"Fetching Asterisk, baresip and SIPp from Debian {SUITE} into {target.parent} (first run only).",
        soft_wrap=True,
    )
    downloads = target.with_name(f"{target.name}.apt")
    unpacked = target.with_name(f"{target.name}.unpacking")
    with _progress(console) as progress:
        apt, packages = _download(downloads, progress)
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir(mode=0o755)
        _unpack([apt.archives / package.archive for package in packages], unpacked, progress)
        _finish(unpacked)
        closure = Closure(unpacked, {package.name: package.version for package in packages})
        _check_it_runs(closure)
        manifest = {"recipe": recipe, "mirror": apt.mirror.uri, "versions": closure.versions}
        (unpacked / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    unpacked.rename(target)
    shutil.rmtree(downloads)


def _download(folder: Path, progress: Progress) -> tuple[PrivateApt, list[Package]]:
    task = progress.add_task("Reading Debian's package index", total=None)
    apt = _updated_apt(folder, mirrors())
    progress.update(task, description="Resolving dependencies")
    packages = apt.resolve(PACKAGES)
    _require_version(packages)
    progress.update(task, description=f"Downloading {len(packages)} packages", total=100)
    apt.download(PACKAGES, lambda percent, _: progress.update(task, completed=percent))
    progress.update(task, completed=100)
    return apt, packages


def _unpack(archives: Sequence[Path], folder: Path, progress: Progress) -> None:
    task = progress.add_task("Unpacking", total=len(archives))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        try:
            for _ in pool.map(lambda archive: _extract(archive, folder), archives):
                progress.advance(task)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _updated_apt(folder: Path, candidates: list[Mirror]) -> PrivateApt:
    """apt on the first mirror that answers and has our suite."""
    failure: UnavailableError | None = None
    for mirror in candidates:
        apt = PrivateApt(folder, mirror, SUITE)
        try:
            apt.update()
        except UnavailableError as error:
            failure = failure or error
        else:
            return apt
    raise failure or UnavailableError("No Debian mirror to ask.")


def _require_version(packages: list[Package]) -> None:
    version = next(package.version for package in packages if package.name == "asterisk")
    numbers = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_ASTERISK:
        raise UnavailableError(
            f"The mirror's {SUITE} has Asterisk {version}; {'.'.join(map(str, OLDEST_ASTERISK))} or newer is needed."
        )


def _extract(archive: Path, folder: Path) -> None:
    done = subprocess.run(
        bound_to_us(["dpkg-deb", "--extract", str(archive), str(folder)]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnavailableError(f"{archive.name} could not be unpacked: {done.stderr.strip()}")


def _finish(root: Path) -> None:
    """What the packages' install scripts would have done, and nothing that we do not run."""
    for pattern in UNUSED_PARTS:
        for part in root.glob(pattern):
            shutil.rmtree(part)
    for file in root.rglob("*"):
        mode = file.lstat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            file.chmod(mode & 0o777)
    (root / "usr/share/asterisk/sounds/en").symlink_to("en_US_f_Allison")  # update-alternatives' work


def _check_it_runs(closure: Closure) -> None:
    done = subprocess.run(
        [*closure.command("usr/sbin/asterisk"), "-V"], capture_output=True, text=True, timeout=30, check=False
    )
    if not done.stdout.startswith("Asterisk "):
        raise UnavailableError(f"The fetched Asterisk does not run here: {(done.stderr or done.stdout).strip()}")


def _prune(folder: Path, current: Path) -> None:
    """Remove closures that no checkout has used for a month."""
    oldest = time.time() - KEPT_UNUSED_DAYS * 86400
    for manifest in folder.glob(f"*/{MANIFEST}"):
        if manifest.parent != current and manifest.stat().st_mtime < oldest:
            shutil.rmtree(manifest.parent)
