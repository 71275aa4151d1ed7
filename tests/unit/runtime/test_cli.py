import importlib.metadata

import pytest

from ari_app.runtime import cli
from ari_app.runtime.errors import UnavailableError


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"asterisk-whatsapp {importlib.metadata.version('asterisk-whatsapp')}\n"


@pytest.mark.parametrize("arguments", [[], ["sing"], ["migrate"]])
def test_wrong_usage_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: asterisk-whatsapp" in capsys.readouterr().err


def test_what_is_missing_is_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable(*_: object) -> None:
        raise UnavailableError("apt-get is missing: [do] this. " + "A long explanation. " * 10)

    monkeypatch.setattr(cli, "ensure_closure", unavailable)
    assert cli.main(["up", "--json"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("asterisk-whatsapp: apt-get is missing: [do] this.")
    assert output.err.count("\n") == 1


@pytest.mark.parametrize("dsn", ["postgresql://nobody@127.0.0.1:9/x", "mysql://x", "not an address"])
def test_a_database_that_cannot_be_reached_is_one_line(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate", "--dsn", dsn]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_before_anything_runs_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "ensure_closure", interrupted)
    assert cli.main(["up"]) == 130
