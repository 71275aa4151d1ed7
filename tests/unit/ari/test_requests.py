"""Requests: what is sent, and what each kind of refusal is raised as."""

import logging

import pytest

from ari_app.ari import (
    AriClient,
    AriClosed,
    AriHttpError,
    AriUnavailable,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    PreconditionFailed,
    ServerError,
    Unauthorized,
    Unprocessable,
)
from ari_app.ari.testing import FakeAri


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (412, PreconditionFailed),
        (422, Unprocessable),
        (500, ServerError),
        (503, ServerError),
        (418, AriHttpError),
    ],
)
async def test_each_status_is_an_error_of_its_own_that_carries_the_request(
    ari: FakeAri, client: AriClient, status: int, kind: type[AriHttpError]
) -> None:
    ari.answer("POST", "/channels/c1/answer", status=status, message="No way")
    with pytest.raises(AriHttpError) as caught:
        await client.channels.handle("c1").answer()
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.message) == (status, "No way")
    assert (caught.value.method, caught.value.path) == ("POST", "/channels/c1/answer")
    assert str(caught.value) == f"POST /channels/c1/answer: {status} No way"


async def test_hanging_up_a_channel_that_is_gone_is_no_error(ari: FakeAri, client: AriClient) -> None:
    ari.answer("DELETE", "/channels/c1", status=404, message="Channel not found")
    await client.channels.hangup("c1", reason_code=16)
    assert ari.requests[-1].query == {"reason_code": "16"}


async def test_destroying_a_bridge_or_stopping_a_prompt_that_is_gone_is_no_error(
    ari: FakeAri, client: AriClient
) -> None:
    ari.answer("DELETE", "/bridges/b1", status=404, message="Bridge not found")
    ari.answer("DELETE", "/playbacks/p1", status=404, message="Playback not found")
    await client.bridges.destroy("b1")
    ari.answer("DELETE", "/bridges/b1", status=409, message="Bridge not in Stasis application")
    await client.bridges.destroy("b1")
    await client.playbacks.handle("p1").stop()


async def test_an_unset_variable_is_none_but_that_of_a_missing_channel_is_an_error(
    ari: FakeAri, client: AriClient
) -> None:
    ari.answer("GET", "/channels/c1/variable", status=404, message="Provided variable was not found")
    ari.answer("GET", "/channels/c2/variable", status=404, message="Provided channel was not found")
    assert await client.channels.get_variable("c1", "NAME") is None
    with pytest.raises(NotFound):
        await client.channels.get_variable("c2", "NAME")


async def test_parameters_are_sent_as_asterisk_wants_them(ari: FakeAri, client: AriClient) -> None:
    await client.bridges.handle("b1").add_channel("c1", "c2", mute=True)
    assert ari.requests[-1].query == {
        "channel": "c1,c2",
        "mute": "true",
        "absorbDTMF": "false",
        "inhibitConnectedLineUpdates": "false",
    }
    await client.channels.create(
        endpoint="Local/1@x/n",
        channel_id="c3",
        other_channel_id="c4",
        formats=["opus"],
        variables={"__NAME": 'Zoë "✓"'},
    )
    assert ari.requests[-1].body == {"variables": {"__NAME": 'Zoë "✓"'}}
    assert ari.requests[-1].query == {
        "endpoint": "Local/1@x/n",
        "app": "app",
        "channelId": "c3",
        "otherChannelId": "c4",
        "formats": "opus",
    }


async def test_ids_are_escaped_in_paths(ari: FakeAri, client: AriClient) -> None:
    await client.channels.hangup("a/../b?x=1;2")
    assert ari.requests[-1].path == "/channels/a/../b?x=1;2"
    assert ari.requests[-1].query == {}


async def test_an_asterisk_that_does_not_answer_in_time_is_unavailable(ari: FakeAri) -> None:
    async with AriClient(ari.url, ari.username, ari.password, "app", request_timeout=0.2) as client:
        ari.silent = True
        with pytest.raises(AriUnavailable, match=r"no answer within 0\.2 s") as caught:
            await client.channels.list()
        assert caught.value.path == "/channels"


async def test_a_refused_connection_is_unavailable(ari: FakeAri, client: AriClient) -> None:
    await ari.__aexit__()
    with pytest.raises(AriUnavailable):
        await client.asterisk.ping()


async def test_wrong_credentials_are_told_at_once(ari: FakeAri) -> None:
    with pytest.raises(Unauthorized):
        async with AriClient(ari.url, ari.username, "wrong", "app", start_timeout=30):
            pytest.fail("entered with a wrong password")


async def test_a_client_that_is_not_open_says_so(ari: FakeAri) -> None:
    client = AriClient(ari.url, ari.username, ari.password, "app")
    with pytest.raises(AriClosed):
        await client.channels.list()


async def test_an_answer_that_is_not_json_is_no_answer(ari: FakeAri, client: AriClient) -> None:
    ari.answer("GET", "/asterisk/info", "<html>a proxy says hello</html>")
    with pytest.raises(AriUnavailable, match="not JSON"):
        await client.asterisk.info()


async def test_unknown_fields_in_answers_are_ignored(ari: FakeAri, client: AriClient) -> None:
    ari.answer("GET", "/asterisk/info", {"system": {"version": "22.10.1", "new_field": 1}})
    assert (await client.asterisk.info()).system.version == "22.10.1"


async def test_credentials_are_never_logged_or_shown(ari: FakeAri, caplog: pytest.LogCaptureFixture) -> None:
    ari.password = "hush-hush"
    caplog.set_level(logging.DEBUG)
    async with AriClient(ari.url, ari.username, "hush-hush", "app") as client:
        ari.answer("GET", "/channels/c1", status=500, message="Allocation failed")
        with pytest.raises(ServerError) as caught:
            await client.channels.get("c1")
        shown = f"{client!r} {caught.value} {vars(caught.value)}"
    assert "hush-hush" not in caplog.text + shown
    assert "aHVzaC1odXNo" not in caplog.text + shown
