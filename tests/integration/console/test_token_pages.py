"""Tokens as people make them for programs."""

import re

from ari_app.store.console.users import Role
from tests.integration.console.desk import Desk
from tests.integration.console.programs import stranger


async def test_a_token_is_shown_once_works_and_is_revoked(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/tokens")
    made = await browser.post("/tokens", {"name": "exporter", "lasts": "30", "role": "reporting"})
    token = re.findall(r"aw_[A-Za-z0-9_-]{43}", made.text)[0]
    program = stranger(desk, token)
    assert (await program("GET", "/me")).json["role"] == "reporting"
    assert (await program("GET", "/users")).error == "not_allowed"
    listed = await browser.get("/tokens")
    assert "exporter" in listed.text
    assert token not in listed.text
    path = re.findall(r'action="(/tokens/[^"]+/revoke)"', listed.text)[0]
    assert (await browser.post(path)).status == 200
    assert (await program("GET", "/me")).error == "no_token"
    lines = await desk.fetch(
        "SELECT action FROM console.audit WHERE kind = 'token' AND subject = 'exporter' ORDER BY id"
    )
    assert [line["action"] for line in lines] == ["added", "revoked"]


async def test_only_administrators_choose_a_role_and_revoke_others_tokens(desk: Desk) -> None:
    agents = await desk.fetch("SELECT id FROM pbx.agents WHERE name = 'Grace'")
    await desk.fetch("UPDATE console.users SET agent_id = NULL")
    agent = await desk.signed_in(Role.AGENT, agent_id=agents[0]["id"])
    await agent.get("/tokens")
    made = await agent.post("/tokens", {"name": "mine", "lasts": "", "role": "administrator"})
    program = stranger(desk, re.findall(r"aw_[A-Za-z0-9_-]{43}", made.text)[0])
    me = (await program("GET", "/me")).json
    assert (me["role"], me["agent_id"]) == ("agent", str(agents[0]["id"]))
    path = re.findall(r'action="(/tokens/[^"]+/revoke)"', (await agent.get("/tokens")).text)[0]
    other = await desk.signed_in(Role.REPORTING)
    listed = await other.get("/tokens")
    assert "mine" not in listed.text.split('id="content"')[1].split("<h2>Tokens</h2>")[1]
    assert (await other.post(path)).status == 404
    assert (await program("GET", "/me")).status == 200
    await desk.fetch("UPDATE console.users SET agent_id = NULL")


async def test_a_token_of_an_administrator_with_less_sees_less(desk: Desk) -> None:
    browser = await desk.signed_in(Role.ADMINISTRATOR)
    await browser.get("/tokens")
    assert (await browser.post("/tokens", {"name": "x", "lasts": "", "role": "agent"})).status == 422
    fields = {"name": "floor", "lasts": "", "role": "supervisor", "groups": ["Sales"]}
    made = await browser.post("/tokens", fields)
    program = stranger(desk, re.findall(r"aw_[A-Za-z0-9_-]{43}", made.text)[0])
    assert {row["name"] for row in (await program("GET", "/live")).json["groups"]} <= {"Sales"}
    assert (await program("GET", "/audit")).status == 403


async def test_the_page_for_people_has_every_operation(desk: Desk) -> None:
    browser = await desk.signed_in(Role.REPORTING)
    text = (await browser.get("/api/v1/docs")).text
    document = (await stranger(desk)("GET", "/openapi.json")).json
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in text
