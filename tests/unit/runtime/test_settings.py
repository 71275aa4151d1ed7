import tomllib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ari_app.runtime.settings import write_toml

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = TEXTS | st.integers(-(2**31), 2**31) | st.booleans()
SECTIONS = st.dictionaries(NAMES, VALUES, max_size=5)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, SECTIONS | st.lists(SECTIONS, min_size=1, max_size=3), max_size=4))
def test_what_is_written_is_what_a_reader_of_toml_finds(
    tmp_path: Path, sections: dict[str, dict[str, str | int | bool] | list[dict[str, str | int | bool]]]
) -> None:
    path = tmp_path / "stack.toml"
    write_toml(path, sections)
    assert tomllib.loads(path.read_text(encoding="utf-8")) == sections


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    write_toml(path, {"meta": {"app_secret": "s3cret"}})
    assert path.stat().st_mode & 0o077 == 0
