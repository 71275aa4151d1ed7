"""The configuration file, and what the process says of a bad one."""

import subprocess
import sys
from pathlib import Path

import pytest

from ari_app.config import Config, ConfigError

GOOD = """
[postgres]
dsn = "postgresql://user:geheim@127.0.0.1:5432/asterisk_whatsapp"
[ari]
url = "http://127.0.0.1:8088"
username = "asterisk-whatsapp"
password = "geheim"
[meta]
whatever = "is not ours"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_sections_of_other_processes_are_not_judged(tmp_path: Path) -> None:
    config = Config.load(written(tmp_path, GOOD))
    assert config.app.name == "asterisk-whatsapp"
    assert config.ari.password.get_secret_value() == "geheim"
    assert "geheim" not in repr(config)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace('password = "geheim"', ""), "[ari.password]"),
        (GOOD.replace("http://127", "127"), "[ari.url]"),
        (GOOD + '[app]\nname = "with blanks"', "[app.name]"),
        (GOOD + "[app]\nnaem = 1", "[app.naem]"),
        (GOOD + '[app]\nfault_prompt = "hello.wav"', "[app.fault_prompt]"),
        ("[postgres", "not TOML"),
    ],
)
def test_a_fault_names_file_and_setting_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Config.load(path)
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_the_process_ends_with_status_2_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ari_app", "--config", tmp_path / "missing.toml"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"{tmp_path / 'missing.toml'}: No such file or directory"]
