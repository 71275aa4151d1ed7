"""Debian packages with everything they need, in a folder of the user's cache, without root.

A `Recipe` says what; `ensure` gives the folder: from the cache, or fetched by a private apt, verified against
Debian's signatures, unpacked and tried. Whoever runs a program of it decides with which dynamic loader.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
class Unpacked:
    """A folder with the files of packages, as Debian ships them."""

    root: Path
    versions: dict[str, str] = field(repr=False)
    """Package name to version."""


def _nothing(_: Unpacked) -> None:
    """No package needs anything."""


def _no_check(_: Sequence[Package]) -> None:
    """Any version will do."""


@dataclass(frozen=True)
class Recipe:
    """What to fetch, and what makes it usable."""

    what: str
    """For people who wait: "Asterisk, baresip and SIPp"."""
    suite: str
    packages: tuple[str, ...]
    layout: int = 1
    """Raised when what we make of the packages changes, so that older caches are built anew."""
    present: tuple[str, ...] = ()
    """Packages that are not fetched although others depend on them: the machine has them, or nobody uses them."""
    name: str = ""
    """Begins the folder's name; the suite if empty."""
    check: Callable[[Sequence[Package]], None] = _no_check
    """Raises UnavailableError before anything is downloaded, if the archive's versions will not do."""
    finish: Callable[[Unpacked], None] = _nothing
    """What the packages' install scripts would have done. Raises UnavailableError if it does not run here."""

    def facts(self) -> dict[str, object]:
        """What tells this recipe's folder from others, as in the manifest."""
        found: dict[str, object] = {"layout": self.layout, "suite": self.suite, "packages": list(self.packages)}
        if self.present:
            found["present"] = list(self.present)
        return found | {"machine": os.uname().machine}

    @property
    def folder(self) -> Path:
        """Where it belongs in the cache."""
        digest = hashlib.sha256(json.dumps(self.facts()).encode()).hexdigest()
        return cache_folder() / f"{self.name or self.suite}-{digest[:12]}"


def cache_folder() -> Path:
    """Where downloads are kept between runs: `$XDG_CACHE_HOME/asterisk-whatsapp`, else under ~/.cache."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "asterisk-whatsapp"


def ensure(recipe: Recipe, console: Console | None = None) -> Unpacked:
    """The folder from the cache; fetched first if it is not there yet or is another one than this code needs.

    Blocks: milliseconds with a warm cache (no network needed), else about 15 s on a good line. Progress goes to
    `console`, stderr by default. Safe in several processes at once: one fetches, the others wait.
    Raises UnavailableError.
    """
    console = console or Console(stderr=True)
    target = recipe.folder
    found = _open(target, recipe)
    if found is not None:
        return found
    require_tools()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name("lock"), recipe, console):
            found = _open(target, recipe)
            if found is None:
                _build(target, recipe, console)
                found = _open(target, recipe)
                _prune(target)
    except OSError as error:
        raise UnavailableError(f"The cache {target.parent} cannot be written: {error}") from error
    if found is None:
        raise UnavailableError(f"{target} is not what was just written there.")
    return found


def _open(target: Path, recipe: Recipe) -> Unpacked | None:
    """The folder at `target` if it is whole and made by this recipe."""
    manifest = target / MANIFEST
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        found = Unpacked(target, content["versions"])
        if content["recipe"] != recipe.facts():
            return None
    except (FileNotFoundError, KeyError, ValueError):
        return None
    with suppress(PermissionError):  # a cache that belongs to somebody else serves as well
        os.utime(manifest)  # it is in use: see _prune
    return found


@contextmanager
def _locked(path: Path, recipe: Recipe, console: Console) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Another process is fetching packages; waiting for it before {recipe.what} …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(target: Path, recipe: Recipe, console: Console) -> None:
    console.print(
        f"Fetching {recipe.what} from Debian {recipe.suite} into {target.parent} (first run only).",
        soft_wrap=True,
    )
    began = time.monotonic()
    downloads = target.with_name(f"{target.name}.apt")
    unpacked = target.with_name(f"{target.name}.unpacking")
    with _progress(console) as progress:
        apt, packages = _download(downloads, recipe, progress)
        archives = [apt.archives / package.archive for package in packages]
        megabytes = sum(archive.stat().st_size for archive in archives) / 1e6
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir(mode=0o755)
        _unpack(archives, unpacked, progress)
        _tidy(unpacked)
        made = Unpacked(unpacked, {package.name: package.version for package in packages})
        recipe.finish(made)
        manifest = {"recipe": recipe.facts(), "mirror": apt.mirror.uri, "versions": made.versions}
        (unpacked / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    unpacked.rename(target)
    shutil.rmtree(downloads)
    console.print(f"{megabytes:.0f} MB in {len(packages)} packages, {time.monotonic() - began:.0f} s.")


def _download(folder: Path, recipe: Recipe, progress: Progress) -> tuple[PrivateApt, list[Package]]:
    task = progress.add_task("Reading Debian's package index", total=None)
    apt = _updated_apt(folder, recipe, mirrors())
    progress.update(task, description="Resolving dependencies")
    packages = apt.resolve(recipe.packages)
    recipe.check(packages)
    progress.update(task, description=f"Downloading {len(packages)} packages", total=100)
    apt.download(recipe.packages, lambda percent, _: progress.update(task, completed=percent))
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


def _updated_apt(folder: Path, recipe: Recipe, candidates: list[Mirror]) -> PrivateApt:
    """apt on the first mirror that answers and has our suite."""
    failure: UnavailableError | None = None
    for mirror in candidates:
        apt = PrivateApt(folder, mirror, recipe.suite, recipe.present)
        try:
            apt.update()
        except UnavailableError as error:
            failure = failure or error
        else:
            return apt
    raise failure or UnavailableError("No Debian mirror to ask.")


def _extract(archive: Path, folder: Path) -> None:
    done = subprocess.run(
        bound_to_us(["dpkg-deb", "--extract", str(archive), str(folder)]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnavailableError(f"{archive.name} could not be unpacked: {done.stderr.strip()}")


def _tidy(root: Path) -> None:
    """Leave out what nobody runs or reads, and no program may have another owner's rights."""
    for pattern in UNUSED_PARTS:
        for part in root.glob(pattern):
            shutil.rmtree(part)
    for file in root.rglob("*"):
        mode = file.lstat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
            file.chmod(mode & 0o777)


def _prune(current: Path) -> None:
    """Remove folders that no checkout has used for a month."""
    oldest = time.time() - KEPT_UNUSED_DAYS * 86400
    for manifest in current.parent.glob(f"*/{MANIFEST}"):
        if manifest.parent != current and manifest.stat().st_mtime < oldest:
            shutil.rmtree(manifest.parent)
