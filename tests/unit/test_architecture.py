"""Which part may know which: the arrows of the design, read from the imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("ari_app", "whatsapp_bridge")


def imports(folder: str) -> Iterator[tuple[str, str]]:
    """(file, imported module of ours) for all modules below a folder; relative imports are made absolute."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        package = path.relative_to(ROOT).parent.parts
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                names = [".".join((*base, node.module or "")).strip(".")]
            yield from ((str(path.relative_to(ROOT)), name) for name in names if name.split(".")[0] in OURS)


def strangers(folder: str, *allowed: str) -> list[tuple[str, str]]:
    return [
        (file, name)
        for file, name in imports(folder)
        if not any(name == a or name.startswith(a + ".") for a in allowed)
    ]


def test_the_ari_client_knows_nothing_of_us() -> None:
    assert not strangers("ari_app/ari", "ari_app.ari")


def test_the_bridge_knows_only_the_ari_client_of_the_application() -> None:
    assert not strangers("whatsapp_bridge", "whatsapp_bridge", "ari_app.ari")


def test_the_simulator_knows_nothing_of_the_bridge() -> None:
    assert not strangers("whatsapp_bridge/simulator", "whatsapp_bridge.simulator")


def test_the_bridge_knows_nothing_of_the_simulator() -> None:
    found = [item for item in imports("whatsapp_bridge") if not item[0].startswith("whatsapp_bridge/simulator")]
    assert not [item for item in found if item[1].startswith("whatsapp_bridge.simulator")]


def test_the_application_knows_nothing_of_the_bridge() -> None:
    """The runtime starts the bridge as a process; the demo drives the simulator by its documented client."""
    found = [item for item in imports("ari_app") if item[1].startswith("whatsapp_bridge")]
    assert not [i for i in found if not i[0].startswith("ari_app/runtime/")]
    assert not [i for i in found if not i[1].startswith("whatsapp_bridge.simulator")]


@pytest.mark.parametrize("folder", OURS)
def test_modules_stay_short(folder: str) -> None:
    long = {p.name: n for p in (ROOT / folder).rglob("*.py") if (n := len(p.read_text().splitlines())) > 330}
    assert not long
