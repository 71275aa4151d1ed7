"""The cache of the closure, without a network: it is made by hand here."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from ari_app.runtime import debian, packages
from ari_app.runtime.debian import ensure_closure
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.packages import KEPT_UNUSED_DAYS, MANIFEST, Recipe, cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/asterisk-whatsapp"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Instead of fetching, note what would be fetched and make a closure with nothing in it."""
    targets: list[Path] = []

    def build(target: Path, recipe: Recipe, console: Console) -> None:
        targets.append(target)
        (target / "usr/lib64").mkdir(parents=True)
        (target / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
        (target / "usr/lib64/ld-linux-x86-64.so.2").touch()
        (target / MANIFEST).write_text(json.dumps({"recipe": recipe.facts(), "versions": {"asterisk": "1:22.10.1-1"}}))

    monkeypatch.setattr(packages, "_build", build)
    return targets


def test_it_is_fetched_once(cache: Path, built: list[Path]) -> None:
    first = ensure_closure()
    assert ensure_closure() == first
    assert built == [first.root]
    assert first.root.parent == cache
    assert first.versions["asterisk"] == "1:22.10.1-1"


def test_a_warm_cache_needs_no_tools(built: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_closure()
    monkeypatch.setenv("PATH", "/nowhere")
    assert ensure_closure().root == built[0]


def test_a_cold_cache_without_the_tools_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UnavailableError, match="apt-get is missing"):
        ensure_closure()


def test_another_recipe_is_another_closure(built: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    old = ensure_closure()
    monkeypatch.setattr(debian, "LAYOUT", debian.LAYOUT + 1)
    new = ensure_closure()
    assert new.root != old.root
    assert old.root.exists(), "another checkout may be using it"


def test_a_closure_that_nobody_has_used_for_a_month_goes(built: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    old = ensure_closure()
    long_ago = time.time() - (KEPT_UNUSED_DAYS + 1) * 86400
    os.utime(old.root / MANIFEST, (long_ago, long_ago))
    monkeypatch.setattr(debian, "LAYOUT", debian.LAYOUT + 1)
    ensure_closure()
    assert not old.root.exists()


def test_a_half_made_closure_does_not_count(built: list[Path]) -> None:
    closure = ensure_closure()
    (closure.root / MANIFEST).unlink()
    for path in sorted(closure.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert ensure_closure().root == closure.root
    assert len(built) == 2


def test_programs_run_through_the_closures_own_loader(built: list[Path]) -> None:
    closure = ensure_closure()
    loader, option, libraries, program = closure.command("usr/sbin/asterisk")
    assert loader == f"{closure.root}/usr/lib64/ld-linux-x86-64.so.2"
    assert option == "--library-path"
    assert libraries.split(":")[0] == f"{closure.root}/usr/lib/x86_64-linux-gnu"
    assert program == f"{closure.root}/usr/sbin/asterisk"


def test_a_second_process_waits_for_the_first(cache: Path, built: list[Path]) -> None:
    cache.mkdir(parents=True)
    code = f"""
import fcntl, sys
with open({str(cache / "lock")!r}, "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "locked\n"
        told: list[str] = []

        class Listener(Console):
            def print(self, *objects: object, **_: object) -> None:
                told.append(str(objects[0]))
                assert other.stdin is not None
                other.stdin.write("\n")  # now the other one is done
                other.stdin.flush()

        assert ensure_closure(Listener()).root == built[0]
        assert "Another process" in told[0]


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/asterisk-whatsapp")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative, which the specification forbids")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder() == Path("/home/ada/.cache/asterisk-whatsapp")


def test_a_cache_that_cannot_be_written_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with pytest.raises(UnavailableError, match="/proc/asterisk-whatsapp cannot be written"):
        ensure_closure()
