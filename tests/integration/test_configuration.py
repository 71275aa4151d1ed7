"""Configuration on a real PostgreSQL: what an import does to the database, and the command as people run it."""

import asyncio
import json
import subprocess
import sys
import textwrap
import uuid
import wave
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from ari_app.runtime import config_command
from ari_app.runtime.debian import Closure
from ari_app.runtime.settings import write_toml
from ari_app.store.configuration import examine
from ari_app.store.configuration.models import AgentEntry, Entry, GroupEntry, MenuEntry, NumberEntry, SipTargetEntry
from ari_app.store.configuration.tables import TABLES
from ari_app.store.configuration.transfer import carry_in, export
from ari_app.store.queue import CHANNEL
from tests.unit.configuration.configurations import documents

EXAMPLE = Path(config_command.__file__).with_name("example_config.yaml")

BASE = """
    numbers:
      "15550783881": {phone_number_id: 106, name: Shop, groups: [Sales]}
    agents:
      PJSIP/1001: {name: Ada, extension: 1001, voip_only: true}
      PJSIP/1002: {name: Grace, extension: 1002, voip_only: true}
    groups:
      Sales: {members: {PJSIP/1001: 1, PJSIP/1002: 2}}
"""


class Command:
    """`asterisk-whatsapp config …` on one database."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.file = folder / "file.yaml"

    def __call__(self, verb: str, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        if text is not None:
            self.file.write_text(textwrap.dedent(text), encoding="utf-8")
            arguments = (str(self.file), *arguments)
        if not {"--dsn", "--config"} & set(arguments):
            arguments = (*arguments, "--dsn", self.dsn)
        main = "import sys; from ari_app.runtime.cli import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", main, "config", verb, *arguments], capture_output=True, text=True, timeout=60
        )

    def succeed(self, verb: str, *arguments: str, text: str | None = None) -> str:
        done = self(verb, *arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refuse(self, verb: str, *arguments: str, text: str | None = None) -> str:
        """What is said on stderr; that nothing was changed is checked."""
        before = self.succeed("export")
        done = self(verb, *arguments, text=text)
        assert done.returncode == 2
        assert not done.stdout
        assert "Traceback" not in done.stderr
        assert self.succeed("export") == before
        return done.stderr


@pytest.fixture
def command(database: str, tmp_path: Path) -> Command:
    return Command(database, tmp_path)


async def fetch(dsn: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


async def test_the_example_is_imported_and_what_is_exported_then_is_the_same(command: Command) -> None:
    assert command.succeed("validate", str(EXAMPLE)) == f"{EXAMPLE} is valid.\n"
    assert "11 added, 0 changed, 0 removed" in command.succeed("import", str(EXAMPLE))
    assert command.succeed("import", str(EXAMPLE)).startswith("Nothing to change")
    first = command.succeed("export")
    assert command.succeed("export", str(command.file)) == f"Written: {command.file}\n"
    assert command.file.read_text() == first
    assert command.succeed("import", str(command.file)).startswith("Nothing to change")
    assert command.succeed("export") == first


def test_the_sounds_of_the_example_and_of_the_defaults_exist(closure: Closure) -> None:
    sounds = set(EXAMPLE.read_text().replace(",", " ").split()) | {
        str(field.default) for model in (NumberEntry, GroupEntry, MenuEntry) for field in model.model_fields.values()
    }
    names = {sound.rpartition("sound:")[2] for sound in sounds if "sound:" in sound and "<" not in sound}
    assert len(names) > 5
    missing = {name for name in names if not list(closure.root.rglob(f"sounds/*/{name}.*"))}
    assert not missing


async def test_an_empty_database_is_exported_and_imported(command: Command) -> None:
    text = command.succeed("export")
    assert command.succeed("import", text=text).startswith("Nothing to change")


async def test_the_difference_is_shown_and_made(command: Command, database: str) -> None:
    command.succeed("import", text=BASE)
    changed = """
        numbers:
          "15550783881": {phone_number_id: 106, name: Shop, groups: [Help, Sales], priority: 3}
        agents:
          PJSIP/1001: {name: Ada, voip_only: true}
          PJSIP/1003: {name: Edsger, extension: 1001, voip_only: true}
        groups:
          Help: {}
          Sales: {members: {PJSIP/1001: 2, PJSIP/1003: 1}}
    """
    expected = [
        "~ number 15550783881",
        "    groups: Sales → Help, Sales",
        "    priority: 10 → 3",
        "~ agent PJSIP/1001",
        "    extension: 1001 → none",
        "- agent PJSIP/1002",
        "    name: Grace",
        "    extension: 1002",
        "    voip_only: true",
        "+ agent PJSIP/1003",
        "    name: Edsger",
        "    extension: 1001",
        "    voip_only: true",
        "+ group Help",
        "~ group Sales",
        "    members PJSIP/1001: 1 → 2",
        "    members PJSIP/1002: 2 → none",
        "    members PJSIP/1003: none → 1",
    ]
    tried = command.succeed("import", "--dry-run", text=changed).splitlines()
    assert tried == [*expected, "Dry run, nothing was changed: 2 added, 3 changed, 1 removed."]
    assert len(await fetch(database, "SELECT FROM pbx.groups")) == 1
    done = command.succeed("import", text=changed).splitlines()
    assert done == [*expected, "Imported: 2 added, 3 changed, 1 removed."]
    rows = await fetch(database, "SELECT group_name FROM pbx.route_groups ORDER BY position")
    assert [row["group_name"] for row in rows] == ["Help", "Sales"]
    audited = await fetch(database, "SELECT actor, before, after FROM console.audit WHERE kind = 'number' ORDER BY id")
    assert [row["actor"] for row in audited] == ["asterisk-whatsapp config import"] * 2
    assert json.loads(audited[1]["before"])["priority"] == "10"
    assert json.loads(audited[1]["after"])["priority"] == "3"


async def test_an_agent_who_is_kept_keeps_the_state_of_the_day(command: Command, database: str) -> None:
    command.succeed("import", text=BASE)
    await fetch(database, "UPDATE pbx.agent_states SET pause_reason = 'lunch', misses = 2")
    before = await fetch(database, "SELECT * FROM pbx.agent_states ORDER BY agent_id")
    command.succeed("import", text=BASE.replace("Ada", "Ada L.").replace("PJSIP/1001: 1,", "PJSIP/1001: 7,"))
    assert await fetch(database, "SELECT * FROM pbx.agent_states ORDER BY agent_id") == before


async def test_extensions_numbers_and_order_may_be_exchanged(command: Command) -> None:
    text = """
        numbers:
          "1": {{phone_number_id: {a}, groups: [{c}, {d}]}}
          "2": {{phone_number_id: {b}, groups: [{d}, {c}]}}
        agents:
          PJSIP/1: {{name: A, extension: {a}, voip_only: true}}
          PJSIP/2: {{name: B, extension: {b}, voip_only: true}}
        groups: {{X: {{members: {{PJSIP/1: 1}}}}, Y: {{members: {{PJSIP/2: 1}}}}}}
    """
    command.succeed("import", text=text.format(a=71, b=72, c="X", d="Y"))
    assert "Imported: 0 added, 4 changed" in command.succeed("import", text=text.format(a=72, b=71, c="Y", d="X"))
    assert command.succeed("import", text=text.format(a=72, b=71, c="Y", d="X")).startswith("Nothing to change")


async def test_five_sip_targets_may_be_replaced_by_five_others_and_so_may_hours(command: Command) -> None:
    def text(kind: str, hours: str) -> str:
        targets = ", ".join(f"{{host: {kind}{n}.example, incoming: ivr}}" for n in range(5))
        schedules = f"{{Office: {{time_zone: UTC, hours: {{monday: '{hours}'}}}}}}"
        return f"numbers: {{'1': {{sip_targets: [{targets}]}}}}\nschedules: {schedules}\n"

    command.succeed("import", text=text("a", "08:00-12:00, 13:00-17:00"))
    assert "1 changed" not in command.succeed("import", text=text("b", "09:00-11:00, 12:00-24:00"))
    assert "monday: 09:00-11:00, 12:00-24:00" in command.succeed("export")


async def test_everything_may_be_removed_again_when_there_were_no_calls(command: Command) -> None:
    empty = command.succeed("export")
    command.succeed("import", str(EXAMPLE))
    assert "0 added, 0 changed, 11 removed" in command.succeed("import", text=empty)
    assert command.succeed("export") == empty


async def test_numbers_and_agents_with_calls_are_not_removed(command: Command, database: str) -> None:
    command.succeed("import", text=BASE)
    call = uuid.uuid4()
    await fetch(
        database,
        "INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id) "
        "VALUES ($1, 'wacid.1', '106', 'inbound', '1')",
        call,
    )
    await fetch(
        database,
        "INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number) "
        "VALUES ($1, '1.1', 'Voice', 'inbound', '15550783881')",
        call,
    )
    await fetch(
        database,
        "INSERT INTO pbx.offers (id, call_id, agent_id) "
        "SELECT gen_random_uuid(), $1, id FROM pbx.agents WHERE name = 'Ada'",
        call,
    )
    await fetch(
        database,
        "UPDATE pbx.agent_states SET call_id = $1, reserved_at = now() "
        "WHERE agent_id = (SELECT id FROM pbx.agents WHERE name = 'Grace')",
        call,
    )
    assert command.refuse("import", text="groups: {}\n").splitlines() == [
        "asterisk-whatsapp: agent PJSIP/1001 cannot be removed: there are calls of this agent. "
        "Keep the entry, with enabled: false.",
        "asterisk-whatsapp: agent PJSIP/1002 cannot be removed: there are calls of this agent. "
        "Keep the entry, with enabled: false.",
        "asterisk-whatsapp: number 15550783881 cannot be removed: there are calls or invitations of it. "
        "Keep the entry, with calling_enabled: false.",
    ]
    command.refuse("import", "--dry-run", text="groups: {}\n")


async def test_a_file_with_errors_changes_nothing(command: Command) -> None:
    command.succeed("import", text=BASE)
    said = command.refuse(
        "import", text=BASE.replace("groups: [Sales]", "groups: [Sails]").replace("PJSIP/1002: 2", "PJSIP/1002: x")
    )
    assert [line.removeprefix(f"{command.file}:") for line in said.splitlines()] == [
        '3:62: there is no group "Sails" in this file; did you mean "Sales"?',
        '8:48: members PJSIP/1002: "x" is not a whole number',
    ]


async def test_the_queue_is_told_of_agents_and_groups_that_an_import_changes_and_of_nothing_else(
    command: Command, database: str
) -> None:
    heard: list[str] = []
    connection = await asyncpg.connect(database)
    try:
        await connection.add_listener(CHANNEL, lambda _, __, ___, payload: heard.append(str(payload).partition(":")[0]))
        await asyncio.to_thread(command.succeed, "import", "--dry-run", text=BASE)
        assert not heard
        await asyncio.to_thread(command.succeed, "import", text=BASE)
        await connection.execute("SELECT 1")
        assert set(heard) == {"agent", "group"}
        heard.clear()
        await asyncio.to_thread(command.succeed, "import", text=BASE)
        await connection.execute("SELECT 1")
        assert not heard
    finally:
        await connection.close()


async def test_imports_at_the_same_time_do_not_mix(command: Command, database: str) -> None:
    texts = [BASE.replace("Sales", f"Sales {number}") for number in range(6)]

    async def import_one(text: str) -> None:
        reading, faults = examine(textwrap.dedent(text).encode())
        assert reading is not None
        assert not faults
        assert not (await carry_in(database, reading, maker=None, folder=Path())).faults

    await asyncio.gather(*map(import_one, texts))
    assert len(await fetch(database, "SELECT FROM pbx.groups")) == 1
    assert len(await fetch(database, "SELECT FROM pbx.group_members")) == 2


async def test_a_database_that_is_missing_or_not_up_to_date_is_told(command: Command, postgres: Any) -> None:
    nowhere = "postgresql://nobody:s3cret@127.0.0.1:9/x"
    for arguments in (["export"], ["import", str(EXAMPLE)], ["validate", str(EXAMPLE)]):
        done = command(*arguments, "--dsn", nowhere)
        assert done.returncode == 2
        assert done.stderr.startswith("asterisk-whatsapp: PostgreSQL cannot be reached:")
        assert "s3cret" not in done.stderr
    empty = await postgres.create_database(f"test_{uuid.uuid4().hex}")
    done = command("export", "--dsn", empty)
    assert done.returncode == 2
    assert "run `asterisk-whatsapp migrate`" in done.stderr


async def test_the_database_may_be_found_by_the_applications_file(
    command: Command, database: str, tmp_path: Path
) -> None:
    toml = tmp_path / "app.toml"
    write_toml(toml, {"postgres": {"dsn": database}, "app": {"prompts_folder": str(tmp_path / "prompts")}})
    command.succeed("import", "--config", str(toml), text=BASE)
    assert "Sales" in command.succeed("export", "--config", str(toml))
    done = command("export", "--config", str(tmp_path / "nothing.toml"))
    assert (done.returncode, done.stderr) == (
        2,
        f"asterisk-whatsapp: {tmp_path}/nothing.toml: No such file or directory\n",
    )


@pytest.mark.parametrize("verb", ["import", "validate"])
async def test_a_file_that_is_not_there_is_told(command: Command, verb: str) -> None:
    done = command(verb, "/no/such/file.yaml")
    assert (done.returncode, done.stderr) == (2, "asterisk-whatsapp: /no/such/file.yaml: No such file or directory\n")


async def test_prompts_are_made_and_removed_with_everything_else(
    command: Command, database: str, tmp_path: Path
) -> None:
    toml, prompts = tmp_path / "app.toml", tmp_path / "prompts"
    write_toml(toml, {"postgres": {"dsn": database}, "app": {"prompts_folder": str(prompts)}})
    with wave.open(str(tmp_path / "bell.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\x00\x20\x00\xe0" * 4000)
    text = "prompts: {bell: {file: bell.wav}}\ngroups: {Sales: {whisper: 'prompt:bell'}}\n"
    assert "only with --config" in command.refuse("import", text=text)
    command.succeed("import", "--dry-run", "--config", str(toml), text=text)
    assert not prompts.exists()
    command.succeed("import", "--config", str(toml), text=text)
    (row,) = await fetch(database, "SELECT name, file, seconds, spoken_text FROM pbx.prompts")
    assert (row["name"], float(row["seconds"]), row["spoken_text"]) == ("bell", 1.0, None)
    assert [path.with_suffix("") for path in prompts.iterdir()] == [Path(row["file"])]
    assert command.succeed("import", "--config", str(toml), text=text).startswith("Nothing to change")
    exported = command.succeed("export")
    assert "\n  bell: {}\n" in exported
    assert command.succeed("import", text=exported).startswith("Nothing to change")
    assert 'there is no prompt "bell"' in command.refuse("import", text="groups: {Sales: {whisper: 'prompt:bell'}}")
    faulty = "prompts: {bell: {}, horn: {file: horn.wav}, bel: {}}\n"
    assert ':1:45: the catalogue has no prompt "bel"; did you mean "bell"?' in command.refuse("import", text=faulty)
    assert "horn.wav: No such file" in command.refuse(
        "import", "--config", str(toml), text="prompts: {bell: {}, horn: {file: horn.wav}}\n"
    )
    assert len(list(prompts.iterdir())) == 1
    command.succeed("import", "--config", str(toml), text="groups: {Sales: {}}\n")
    assert not list(prompts.iterdir())


@pytest.mark.usefixtures("speech")
async def test_prompts_are_spoken(command: Command, database: str, tmp_path: Path) -> None:
    toml = tmp_path / "app.toml"
    write_toml(toml, {"postgres": {"dsn": database}, "app": {"prompts_folder": str(tmp_path / "prompts")}})
    text = 'prompts: {hello: {text: "Hello: how are you?"}}\n'
    command.succeed("import", "--config", str(toml), text=text)
    (row,) = await fetch(database, "SELECT seconds, spoken_text FROM pbx.prompts")
    assert (1.0 < row["seconds"] < 4.0, row["spoken_text"]) == (True, "Hello: how are you?")
    assert command.succeed("import", text=command.succeed("export")).startswith("Nothing to change")


@pytest.mark.parametrize(
    ("table", "model", "ours"),
    [
        ("pbx.groups", GroupEntry, {"name", "members"}),
        ("pbx.menus", MenuEntry, {"name", "options"}),
        ("pbx.sip_targets", SipTargetEntry, {"number"}),
        ("pbx.routes", NumberEntry, {"number", "groups_together"}),
        ("pbx.agents", AgentEntry, {"id", "endpoint", "created_at"}),
    ],
)
async def test_defaults_are_those_of_the_tables_and_no_column_is_forgotten(
    database: str, table: str, model: type[Entry], ours: set[str]
) -> None:
    rows = await fetch(
        database,
        "SELECT attname AS name, pg_get_expr(adbin, adrelid) AS expression FROM pg_attribute a "
        "LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum "
        "WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    (known,) = [known for known in TABLES if known.name == table]
    columns = {row["name"]: row["expression"] for row in rows}
    assert set(columns) - {"id", "created_at"} == {*known.key, *known.columns}
    for name, expression in columns.items():
        if name in ours or (field := model.model_fields[name]).is_required():
            continue
        (default,) = (
            (await fetch(database, f"SELECT to_json({expression})::text AS value"))[0] if expression else ("null",)
        )
        assert yaml.safe_load(default) == field.default, name


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(document=documents())
def test_any_valid_configuration_is_imported_and_exported_the_same(database: str, document: dict[str, Any]) -> None:
    """One after the other into the same database: so each also removes what is left of the one before."""

    async def there_and_back() -> None:
        reading, faults = examine(yaml.safe_dump(document).encode())
        assert reading is not None
        assert not [fault for fault in faults if not fault.is_warning]
        await carry_in(database, reading, maker=None, folder=Path())
        text = await export(database)
        again, faults = examine(text.encode())
        assert again is not None
        assert not [fault for fault in faults if not fault.is_warning]
        result = await carry_in(database, again, maker=None, folder=Path())
        assert (result.changes, result.faults) == ([], [])
        assert await export(database) == text

    asyncio.run(there_and_back())
