"""A private apt: Debian packages for a folder of ours, by the machine's own mirror, proxy and keys, without root.

Everything apt writes (lists, archives, status) lies in that folder. Signatures and hashes are checked by apt
itself; see apt-secure(8).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.processes import bound_to_us

MIRROR_VARIABLE = "ASTERISK_WHATSAPP_DEBIAN_MIRROR"
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

Report = Callable[[float, str], None]
"""Receives the progress of a download: percent, and apt's word for what it is doing."""


@dataclass(frozen=True)
class Mirror:
    """A Debian archive that this machine already trusts."""

    uri: str
    signed_by: str | None
    """The Signed-By field as the machine has it (a path, a fingerprint or a key block); None: apt's trusted keys."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    architecture: str

    @property
    def archive(self) -> str:
        """The name apt gives the file in its archives folder."""
        return f"{self.name}_{quote(self.version, safe='+~.-')}_{self.architecture}.deb".replace("%3A", "%3a")


def require_tools() -> None:
    """Raises UnavailableError unless apt and dpkg are here."""
    for tool in ("apt-get", "apt-config", "dpkg", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UnavailableError(
                f"{tool} is missing: the embedded Asterisk comes from Debian's archive and needs apt and dpkg. "
                "Run this on Debian or a derivative, or give the address of an Asterisk you already have."
            )


def architecture() -> str:
    """Debian's name for this machine's architecture, such as amd64."""
    return _output(["dpkg", "--print-architecture"]).strip()


def mirrors() -> list[Mirror]:
    """The Debian archives in the machine's apt configuration, the likeliest first.

    `ASTERISK_WHATSAPP_DEBIAN_MIRROR` names another one (for machines whose apt knows a derivative only).
    """
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        return [Mirror(named, DEBIAN_KEYRING if Path(DEBIAN_KEYRING).exists() else None)]
    known = _origin_debian()
    sources = list(_sources())
    chosen = [m for m in sources if m.uri.rstrip("/") in known]
    chosen += [m for m in sources if m not in chosen and _looks_like_debian(m)]
    if not chosen:
        raise UnavailableError(
            "No Debian mirror found in this machine's apt configuration. "
            f"Set {MIRROR_VARIABLE}=http://<host>/debian and install debian-archive-keyring."
        )
    return list(dict.fromkeys(chosen))


def _origin_debian() -> set[str]:
    """Archive addresses whose downloaded Release file says Debian; empty on a machine that never updated."""
    listing = _output(["apt-get", "indextargets", "Created-By: Packages", "Origin: Debian", "Label: Debian"])
    return {line.split(": ", 1)[1].rstrip("/") for line in listing.splitlines() if line.startswith("Repo-URI: ")}


def _looks_like_debian(mirror: Mirror) -> bool:
    return urlsplit(mirror.uri).path.rstrip("/").endswith("/debian") or "debian-archive" in (mirror.signed_by or "")


def _sources() -> Iterator[Mirror]:
    """Entries of sources.list and sources.list.d that offer the `main` component of a binary archive."""
    shell = _output(["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"])
    place = dict(re.findall(r"^(\w+)='(.*)'$", shell, re.MULTILINE))
    files = [Path(place["LIST"])] if "LIST" in place else []
    if "PARTS" in place and Path(place["PARTS"]).is_dir():
        files += sorted(p for p in Path(place["PARTS"]).iterdir() if p.suffix in (".list", ".sources"))
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        yield from _deb822(text) if file.suffix == ".sources" else _one_line(text)


def _deb822(text: str) -> Iterator[Mirror]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')}\n{line}"
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off"):
            continue
        if "deb" not in fields.get("types", "").split() or "main" not in fields.get("components", "").split():
            continue
        if all("-security" in suite for suite in fields.get("suites", "").split()):
            continue
        for uri in fields.get("uris", "").split():
            yield Mirror(uri, fields.get("signed-by") or None)


def _one_line(text: str) -> Iterator[Mirror]:
    for line in text.splitlines():
        entry = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)", line)
        if entry is None or "main" not in entry[4].split() or "-security" in entry[3]:
            continue
        options = dict(part.split("=", 1) for part in (entry[1] or "").split() if "=" in part)
        yield Mirror(entry[2], options.get("signed-by"))


class PrivateApt:
    """apt with its state, cache and sources in `folder`. Blocking; one process at a time (the caller locks).

    It believes that the packages of `present` are installed, and nothing else.
    """

    def __init__(self, folder: Path, mirror: Mirror, suite: str, present: Sequence[str] = ()) -> None:
        self.folder = folder
        self._present = present
        self.mirror = mirror
        self.suite = suite
        self.archives = folder / "archives"
        self._configuration = folder / "apt.conf"
        self._write_configuration()

    def _write_configuration(self) -> None:
        for name in ("lists/partial", "archives/partial", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # dpkg's status file (deb822): a high version, so that it satisfies whatever is asked of it
        fields = f"Status: install ok installed\nArchitecture: {architecture()}\nMulti-Arch: same\nVersion: 999:0\n"
        status = "".join(f"Package: {name}\nMaintainer: nobody\n{fields}\n" for name in self._present)
        (self.folder / "status").write_text(status, encoding="utf-8")
        source = [
            "Types: deb",
            f"URIs: {self.mirror.uri}",
            f"Suites: {self.suite}",
            "Components: main",
            f"Architectures: {architecture()}",
            "Targets: Packages",
        ]
        if self.mirror.signed_by is not None:
            source.append(f"Signed-By: {self.mirror.signed_by}")
        (self.folder / "debian.sources").write_text("\n".join(source) + "\n", encoding="utf-8")
        settings = {
            "Dir::State": f"{self.folder}/state/",
            "Dir::State::lists": f"{self.folder}/lists/",
            "Dir::State::status": f"{self.folder}/status",
            "Dir::Cache": f"{self.folder}/",
            "Dir::Cache::archives": f"{self.archives}/",
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "",
            "Dir::Log": f"{self.folder}/",
            "Dir::Etc::sourcelist": f"{self.folder}/debian.sources",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": architecture(),
            "APT::Default-Release": "",
            "APT::Install-Recommends": "false",
            "APT::Install-Suggests": "false",
            "APT::Get::Assume-Yes": "true",
            "APT::Sandbox::User": "root",  # _apt may not enter a home folder; without root it changes nothing
            "APT::Update::Error-Mode": "any",  # else an index that cannot be fetched is a mere warning
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::http::Timeout": "30",
            "Acquire::https::Timeout": "30",
        }
        # The machine's own hooks (docker-clean, PackageKit, command-not-found …) are about its own packages.
        hooks = ("APT::Update", "DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs")
        lines = [f"#clear {hook};" for hook in (*hooks, "APT::Architectures")]
        lines += [f'{key} "{value}";' for key, value in settings.items()]
        self._configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def update(self) -> None:
        """Fetch and verify the archive's index. Raises UnavailableError."""
        self._run(["update"], f"reading the package index of {self.mirror.uri}")

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """Everything that must be installed on an empty system to have `names`. Raises UnavailableError."""
        plan = self._run(["install", "--simulate", *names], f"looking up {', '.join(names)}")
        found = re.findall(r"^Inst (\S+) \((\S+) .*?\[(\w+)\]\)", plan, re.MULTILINE)
        if not found:
            raise UnavailableError(f"apt found nothing to install for {', '.join(names)} in {self.suite}.")
        return [Package(*match) for match in found]

    def download(self, names: Sequence[str], report: Report) -> None:
        """Fetch the archives of `names` and their dependencies; continues a download that was cut off."""
        self._run(["install", "--download-only", *names], f"downloading from {self.mirror.uri}", report)

    def _run(self, arguments: Sequence[str], doing: str, report: Report | None = None) -> str:
        status_read, status_write = os.pipe()
        command = ["apt-get", "-c", str(self._configuration), "-q=1", "-o", f"APT::Status-Fd={status_write}"]
        output, errors = self.folder / "apt.out", self.folder / "apt.err"
        with os.fdopen(status_read, encoding="utf-8", errors="replace") as status:
            with output.open("wb") as out, errors.open("wb") as err:
                try:
                    process = subprocess.Popen(
                        bound_to_us([*command, *arguments]),
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                        env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
                        pass_fds=[status_write],
                    )
                finally:
                    os.close(status_write)
            with process:
                try:
                    for line in status:  # dlstatus:<item>:<percent>:<text>, until apt ends
                        kind, _, percent, text = line.rstrip("\n").split(":", 3)
                        if report is not None and kind == "dlstatus":
                            report(float(percent), text)
                except BaseException:
                    process.kill()
                    raise
        if process.returncode != 0:
            raise UnavailableError(
                f"apt failed while {doing}: {_reason(errors.read_text(encoding='utf-8', errors='replace'))}"
            )
        return output.read_text(encoding="utf-8", errors="replace")


def _reason(errors: str) -> str:
    """apt's first error in one line."""
    lines = [line for line in errors.splitlines() if line.startswith("E: ")] or errors.splitlines()
    text = lines[0].removeprefix("E: ").strip() if lines else "no message"
    if re.search(
        r"Temporary failure resolving|Could not resolve|Could not connect|Connection (failed|refused)", errors
    ):
        text += " (no network? The first run needs Debian's mirror, later runs do not)"
    return text


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise UnavailableError(f"{command[0]} failed: {_reason(done.stderr)}")
    return done.stdout
