"""The private apt, against the real apt-get and a signed archive on loopback."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ari_app.runtime import apt
from ari_app.runtime.apt import MIRROR_VARIABLE, Mirror, Package, PrivateApt, mirrors
from ari_app.runtime.errors import UnavailableError
from tests.unit.runtime.debian_archive import SUITE, Archive, Line, SigningKey, served

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt, as the embedded Asterisk does")

LARGE = os.urandom(3_000_000)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey()


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def archive(tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Archive:
    direct = tmp_path / "no-proxy.conf"
    direct.write_text('Acquire::http::Proxy::127.0.0.1 "DIRECT";\n')
    monkeypatch.setenv("APT_CONFIG", str(direct))
    root = tmp_path / "archive"
    root.mkdir()
    return Archive(root, key, apt.architecture())


@pytest.fixture
def mirror(archive: Archive, line: Line, key: SigningKey, tmp_path: Path) -> Iterator[Mirror]:
    keyring = tmp_path / "keyring.asc"
    keyring.write_text(key.public())
    with served(archive.root, line) as address:
        yield Mirror(address, str(keyring))


def test_packages_come_with_what_they_depend_on(archive: Archive, mirror: Mirror, tmp_path: Path) -> None:
    archive.add("pbx", "1:22.10~dfsg+1-1", depends="codec")
    archive.add("codec", "1.5")
    archive.add("other")
    archive.publish()
    private = PrivateApt(tmp_path / "apt", mirror, SUITE)
    private.update()
    packages = private.resolve(["pbx"])
    assert {package.name: package.version for package in packages} == {"pbx": "1:22.10~dfsg+1-1", "codec": "1.5"}
    percents: list[float] = []
    private.download(["pbx"], lambda percent, _: percents.append(percent))
    assert all((private.archives / package.archive).is_file() for package in packages)
    assert percents == sorted(percents)


def test_what_is_said_to_be_present_is_not_fetched(archive: Archive, mirror: Mirror, tmp_path: Path) -> None:
    archive.add("browser", depends="codec, desktop (>= 5)")
    archive.add("codec", depends="libc6 (>= 1:2)")
    archive.add("desktop", "7", depends="much-more")
    archive.publish()
    private = PrivateApt(tmp_path / "apt", mirror, SUITE, present=["desktop", "libc6"])
    private.update()
    assert {package.name for package in private.resolve(["browser"])} == {"browser", "codec"}


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(
    archive: Archive, mirror: Mirror, line: Line, tmp_path: Path
) -> None:
    archive.add("large", content=LARGE)
    archive.publish()
    private = PrivateApt(tmp_path / "apt", mirror, SUITE)
    private.update()
    line.cut_after = 2_000_000
    code = f"""
from pathlib import Path
from ari_app.runtime.apt import Mirror, PrivateApt
private = PrivateApt(Path({str(private.folder)!r}), Mirror({mirror.uri!r}, {mirror.signed_by!r}), {SUITE!r})
private.download(["large"], lambda *_: None)
"""
    partial = private.archives / "partial" / f"large_1.0_{apt.architecture()}.deb"
    with subprocess.Popen([sys.executable, "-c", code]) as download:
        assert line.silent.wait(30)
        deadline = time.monotonic() + 10
        while not partial.exists() or partial.stat().st_size < 1_000_000:  # apt takes from the socket what was sent
            assert time.monotonic() < deadline
            time.sleep(0.01)
        download.kill()
    line.cut_after = None
    line.over.set()
    private.download(["large"], lambda *_: None)
    first, again = line.ranges
    assert first == ""
    assert int(again.removeprefix("bytes=").removesuffix("-")) >= 1_000_000
    content = (private.archives / f"large_1.0_{apt.architecture()}.deb").read_bytes()
    assert content == (archive.root / "pool/large.deb").read_bytes()


def test_a_package_that_was_tampered_with_is_refused(archive: Archive, mirror: Mirror, tmp_path: Path) -> None:
    deb = archive.add("pbx", content=b"honest")
    archive.publish()
    deb.write_bytes(deb.read_bytes().replace(b"honest", b"wicked"))
    private = PrivateApt(tmp_path / "apt", mirror, SUITE)
    private.update()
    with pytest.raises(UnavailableError, match="Hash Sum mismatch"):
        private.download(["pbx"], lambda *_: None)
    assert not list(private.archives.glob("*.deb"))


def test_an_archive_signed_by_somebody_else_is_refused(archive: Archive, mirror: Mirror, tmp_path: Path) -> None:
    archive.add("pbx")
    archive.publish()
    stranger = tmp_path / "stranger.asc"
    stranger.write_text(SigningKey().public())
    private = PrivateApt(tmp_path / "apt", Mirror(mirror.uri, str(stranger)), SUITE)
    with pytest.raises(UnavailableError, match=r"not signed|NO_PUBKEY"):
        private.update()


def test_a_mirror_that_does_not_answer_is_one_clear_line(tmp_path: Path) -> None:
    private = PrivateApt(tmp_path / "apt", Mirror("http://127.0.0.1:9/debian", None), SUITE)
    with pytest.raises(UnavailableError, match="no network") as refused:
        private.update()
    assert "\n" not in str(refused.value)


def test_a_missing_tool_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match=r"apt-get is missing: .* Debian"):
        apt.require_tools()


def test_an_archives_file_name_is_apts() -> None:
    package = Package("asterisk", "1:22.10.1+dfsg+~cs6.17-1", "amd64")
    assert package.archive == "asterisk_1%3a22.10.1+dfsg+~cs6.17-1_amd64.deb"


SOURCES = """\
# the distribution
Types: deb deb-src
URIs: http://mirror.example/debian
# another comment
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://vendor.example/apt
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""
LIST = """\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://other.example/mirror/ bookworm main
deb http://security.example/debian-security bookworm-security main
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose apt has these sources and has never updated."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(SOURCES)
    (tmp_path / "sources.list").write_text(LIST)
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{parts}";\n'
        f'Dir::State "{tmp_path}/state";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    return tmp_path


def test_the_mirrors_are_those_of_the_machine_with_their_keys(machine: Path) -> None:
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert mirrors() == [
        Mirror("http://other.example/mirror/", keyring),
        Mirror("http://mirror.example/debian", keyring),
    ]


def test_a_mirror_may_be_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, "http://near.example/debian")
    assert [mirror.uri for mirror in mirrors()] == ["http://near.example/debian"]


def test_a_machine_without_a_debian_mirror_is_told_how_to_name_one(machine: Path) -> None:
    (machine / "sources.list").write_text("deb http://ubuntu.example/ubuntu noble main\n")
    (machine / "sources.list.d/debian.sources").unlink()
    with pytest.raises(UnavailableError, match=MIRROR_VARIABLE):
        mirrors()
