"""A configuration that is no file is examined as a file would be, and faults say which setting they are in."""

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings

from ari_app.store.configuration import examine, examine_node
from ari_app.store.configuration.editing import nodes_of, stamp
from ari_app.store.configuration.tables import Tree, rows_of, tree_of
from tests.unit.configuration.configurations import documents

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tree(text: str) -> Tree:
    reading, faults = examine(text.encode())
    assert reading is not None
    assert not [fault for fault in faults if not fault.is_warning]
    return tree_of(rows_of(reading.document))


def problems(of: Tree) -> dict[tuple[str | int, ...], str]:
    root, places = nodes_of(of)
    return {places[fault.position]: fault.message for fault in examine_node(root)[1] if not fault.is_warning}


@unhurried
@given(documents())
def test_a_tree_is_read_as_the_file_it_stands_for(document: dict[str, Any]) -> None:
    reading, _ = examine(yaml.safe_dump(document, allow_unicode=True).encode())
    assert reading is not None
    rows = rows_of(reading.document)
    again, faults = examine_node(nodes_of(tree_of(rows) | {"prompts": {}})[0])
    assert again is not None
    named = {fault.message for fault in faults if not fault.is_warning}
    assert all("there is no prompt" in message for message in named)
    whole, faults = examine_node(
        nodes_of(tree_of(rows) | {"prompts": {name: {} for name in document.get("prompts", {})}})[0]
    )
    assert whole is not None
    assert not [fault for fault in faults if not fault.is_warning]
    assert rows_of(whole.document) == rows


def test_faults_have_the_path_of_their_setting() -> None:
    of = tree("agents: {PJSIP/1: {name: Ada}}\ngroups: {Sales: {members: {PJSIP/1: 1}}}")
    of["groups"]["Sales"] |= {"ring_seconds": "soon", "no_agent": "group:Nobody", "exit_digit": "1"}
    of["agents"]["PJSIP/1"]["name"] = ""
    found = problems(of)
    assert set(found) == {
        ("groups", "Sales", "ring_seconds"),
        ("groups", "Sales", "no_agent"),
        ("groups", "Sales", "exit_digit"),
        ("agents", "PJSIP/1", "name"),
    } - {("groups", "Sales", "exit_digit")}
    assert "soon" in found["groups", "Sales", "ring_seconds"]
    del of["groups"]["Sales"]["ring_seconds"]
    of["agents"]["PJSIP/1"]["name"] = "Ada"
    of["groups"]["Sales"]["no_agent"] = "hangup"
    assert set(problems(of)) == {("groups", "Sales", "exit_digit")}


def test_what_is_removed_is_missed_where_it_was_used() -> None:
    of = tree("groups: {Sales: {}}\nnumbers: {'49301234567': {groups: [Sales]}}")
    del of["groups"]["Sales"]
    assert set(problems(of)) == {("numbers", "49301234567", "groups", 0)}


def test_a_stamp_tells_one_entry_from_another() -> None:
    one = tree("groups: {Sales: {}, Support: {ring_seconds: 21}}")["groups"]
    assert stamp(one["Sales"]) == stamp(dict(one["Sales"]))
    assert stamp(one["Sales"]) != stamp(one["Support"])
