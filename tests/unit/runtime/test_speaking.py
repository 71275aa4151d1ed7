"""Where speech synthesis comes from."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.speaking import PROGRAM, debian_espeak, path_with_espeak


def test_the_machines_own_is_taken_if_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / PROGRAM
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", f"/nowhere:{tmp_path}")
    assert path_with_espeak() == os.environ["PATH"]


def test_debians_runs_from_its_folder_and_finds_its_voices_there() -> None:
    try:
        folder = debian_espeak()
    except UnavailableError as error:
        pytest.skip(f"no speech synthesis: {error}")
    program = shutil.which(PROGRAM, path=str(folder))
    assert program is not None
    told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    assert f"Data at: {folder.parent}" in told.stdout
