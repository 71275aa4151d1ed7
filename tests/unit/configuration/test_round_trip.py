"""What is written is read as the same configuration, whatever it contains."""

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ari_app.store.configuration import examine
from ari_app.store.configuration.changes import changes
from ari_app.store.configuration.faults import Fault
from ari_app.store.configuration.tables import rows_of, tree_of
from ari_app.store.configuration.writing import write
from tests.unit.configuration.configurations import ANY_TEXT, documents

#: Machines may be busy.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def errors(faults: list[Fault]) -> list[Fault]:
    return [fault for fault in faults if not fault.is_warning]


@unhurried
@given(documents())
def test_a_configuration_that_is_written_and_read_is_the_same(document: dict[str, Any]) -> None:
    reading, faults = examine(yaml.safe_dump(document, allow_unicode=True).encode())
    assert reading is not None
    assert not errors(faults)
    rows = rows_of(reading.document)
    text = write(tree_of(rows))
    again, faults = examine(text.encode())
    assert again is not None
    assert not errors(faults)
    assert rows_of(again.document) == rows
    assert write(tree_of(rows_of(again.document))) == text
    assert changes(tree_of(rows), tree_of(rows_of(again.document))) == []


@unhurried
@given(documents())
def test_other_programs_can_read_what_is_written(document: dict[str, Any]) -> None:
    reading, _ = examine(yaml.safe_dump(document).encode())
    assert reading is not None
    found = yaml.safe_load(write(tree_of(rows_of(reading.document))))
    assert {section: set(entries) for section, entries in found.items() if section in document} == {
        section: set(entries) for section, entries in document.items()
    }


@unhurried
@given(ANY_TEXT)
def test_the_text_of_a_prompt_survives(text: str) -> None:
    reading, faults = examine(write({"prompts": {"hello": {"text": text}}}).encode())
    assert reading is not None
    assert not errors(faults)
    assert reading.document.prompts["hello"].text == text


@unhurried
@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["group:a", "a", "1"]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "numbers",
                        "agents",
                        "groups",
                        "menus",
                        "schedules",
                        "prompts",
                        "members",
                        "sip_targets",
                        "options",
                        "hours",
                        "holidays",
                        "host",
                        "incoming",
                        "prompt",
                        "name",
                        "no_agent",
                        "a",
                        "1",
                        "PJSIP/1",
                    ]
                ),
                inner,
            )
        ),
    ).map(lambda data: yaml.safe_dump(data).encode())
)
def test_no_file_whatever_breaks_the_examination(content: bytes) -> None:
    reading, faults = examine(content)
    assert reading is not None or errors(faults)
    lines = content.count(b"\n") + content.count(b"\r") + content.count("\x85".encode()) + 2
    assert all(
        1 <= fault.position.line <= lines + content.count("\u2028".encode()) + content.count("\u2029".encode())
        for fault in faults
    )
