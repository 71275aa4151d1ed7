"""Which Chromium is used, and what is said where there is none. None is fetched here."""

import os
from pathlib import Path

import pytest
from rich.console import Console

from ari_app.runtime import browser
from ari_app.runtime.browser import CHROMIUM_VARIABLE, debian_browser, ensure_browser, suite_for
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.packages import Recipe, Unpacked


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Chromium; the path where it would be."""
    program = tmp_path / "chromium"
    monkeypatch.setattr(browser, "SYSTEM_CHROMIUM", program)
    monkeypatch.delenv(CHROMIUM_VARIABLE, raising=False)
    return program


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Instead of fetching, note what would be fetched."""
    recipes: list[Recipe] = []

    def ensure(recipe: Recipe, console: Console | None = None) -> Unpacked:
        recipes.append(recipe)
        for folder in ("usr/lib/x86_64-linux-gnu/pulseaudio", "lib/x86_64-linux-gnu"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        return Unpacked(tmp_path, {"chromium": "150.0-1"})

    monkeypatch.setattr(browser, "ensure", ensure)
    return recipes


def test_the_machines_own_chromium_is_used(machine: Path, fetched: list[Recipe]) -> None:
    machine.write_text("")
    machine.chmod(0o755)
    found = ensure_browser()
    assert (found.executable, dict(found.environment)) == (machine, dict(os.environ))
    assert fetched == []


def test_without_one_debians_is_fetched_with_fonts_and_runs_with_its_own_libraries(
    tmp_path: Path, fetched: list[Recipe]
) -> None:
    found = ensure_browser()
    assert found.executable == tmp_path / "usr/lib/chromium/chromium"
    assert found.environment["LD_LIBRARY_PATH"].split(":") == [
        f"{tmp_path}/usr/lib/x86_64-linux-gnu",
        f"{tmp_path}/lib/x86_64-linux-gnu",
        f"{tmp_path}/usr/lib/x86_64-linux-gnu/pulseaudio",
    ]
    assert found.environment["FONTCONFIG_FILE"] == f"{tmp_path}/fonts.conf"
    recipe = fetched[0]
    assert "fonts-dejavu-core" in recipe.packages
    assert "libc6" in recipe.present
    assert recipe.folder.name.startswith("chromium-")


def test_one_may_be_named(tmp_path: Path, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHROMIUM_VARIABLE, "/bin/true")
    assert ensure_browser().executable == Path("/bin/true")
    monkeypatch.setenv(CHROMIUM_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError, match="nowhere is not a program"):
        ensure_browser()


def test_debians_may_be_asked_for_beside_the_machines(
    machine: Path, fetched: list[Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write_text("")
    machine.chmod(0o755)
    monkeypatch.setenv(CHROMIUM_VARIABLE, "debian")
    assert ensure_browser() == debian_browser()
    assert len(fetched) == 2


def test_it_comes_from_a_debian_that_is_no_newer_than_the_machine() -> None:
    assert suite_for((2, 43)) == "trixie"
    assert suite_for((2, 41)) == "trixie"
    assert suite_for((2, 40)) == "bookworm"
    assert suite_for((2, 36)) == "bookworm"


def test_too_old_a_machine_is_told_what_to_do() -> None:
    with pytest.raises(UnavailableError, match=f"glibc 2.35; 2.36 or newer.*{CHROMIUM_VARIABLE}"):
        suite_for((2, 35))


def test_a_machine_without_glibc_is_told_what_to_do(fetched: list[Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    def confstr(_: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", confstr)
    with pytest.raises(UnavailableError, match="no glibc"):
        debian_browser()
