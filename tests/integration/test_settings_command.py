"""`asterisk-whatsapp settings` as people run it, with the bridge's worker and the simulator at the other end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ari_app.runtime import settings_command
from ari_app.runtime.settings import write_toml
from tests.integration.numbers import NUMBER, PNID, House, house
from tests.integration.test_billing_commands import main
from whatsapp_bridge.simulator.consent_models import AccountUpdate, SettingsChange
from whatsapp_bridge.simulator.models import GraphFault


@pytest.fixture
async def shop(database: str, tmp_path: Path) -> AsyncIterator[House]:
    write_toml(tmp_path / "app.toml", {"postgres": {"dsn": database}, "ari": {"username": "u", "password": "p"}})
    fresh = [{"phone_number_id": PNID, "display_number": NUMBER, "calling": "NOT_SET"}]
    async with house(database, tmp_path, numbers=fresh) as it:
        await it.db.execute("INSERT INTO pbx.routes (number, calling_enabled) VALUES ($1, true)", NUMBER)
        yield it


async def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status, and all that was printed, in one line."""
    command = ["settings", "--config", str(folder / "app.toml"), *arguments]
    try:
        status = await asyncio.to_thread(main, command)
    except SystemExit as ended:
        status = int(ended.code or 0)
    output = capsys.readouterr()
    return status, " ".join((output.out + output.err).split())


async def test_it_shows_and_reconciles(shop: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = await run(tmp_path, capsys, "reconcile")
    assert status == 0
    assert f"{NUMBER} │ calling_enabled │ on │ on │" in said
    assert f"{NUMBER} │ call_icon │ hidden │ hidden │" in said
    assert f"{NUMBER} │ schedule │ off │ never set │" in said
    await shop.consent.change_settings(PNID, SettingsChange(calling={"status": "DISABLED"}, tell=False))
    await shop.consent.account_update(
        PNID, AccountUpdate(restriction="RESTRICTED_BUSINESS_INITIATED_CALLING", reason="too many complaints")
    )
    await shop.until("SELECT count(*) FROM whatsapp.restrictions", holds=lambda count: count == 1)
    status, said = await run(tmp_path, capsys, "reconcile", "--number", f"+{NUMBER}")
    assert status == 0
    assert f"{NUMBER} │ calling_enabled │ on │ off (drift) │" in said
    assert f"{NUMBER}: changed elsewhere" in said
    assert "RESTRICTED_BUSINESS_INITIATED_CALLING too many complaints" in said
    await shop.meta.fail(GraphFault(action="settings_get", code=190))
    status, said = await run(tmp_path, capsys, "reconcile")
    assert status == 1
    assert f"{NUMBER}: failed: 190" in said
    assert "access_token" in said


async def test_what_it_cannot_do_it_says(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_command, "WAIT_SECONDS", 0.3)
    write_toml(tmp_path / "app.toml", {"postgres": {"dsn": database}, "ari": {"username": "u", "password": "p"}})
    assert await run(tmp_path, capsys, "show") == (1, "there are no WhatsApp numbers")
    async with house(database, tmp_path, work=False):
        assert await run(tmp_path, capsys, "show", "--number", "49") == (1, "49 is no WhatsApp number here")
        status, said = await run(tmp_path, capsys, "show", "--number", "x")
        assert (status, "'x' is not a number" in said) == (2, True)
        status, said = await run(tmp_path, capsys, "show")
        assert f"{NUMBER} │ calling_enabled │ no route │ not asked yet │" in said
        status, said = await run(tmp_path, capsys, "reconcile")
        assert (status, said) == (
            1,
            f"the bridge has not asked Meta about {NUMBER} within 0.3 s; is it running?",
        )
