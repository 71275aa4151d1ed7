"""What happens to a message after it was left: catalogue, lamps, e-mail, and what fails on the way."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from ari_app.ari import AriClient
from ari_app.ari.testing import FakeAri
from ari_app.config import MailConfig
from ari_app.flows import message_mail, message_post
from ari_app.flows.message_mail import Mailer, compose
from ari_app.flows.message_post import MessagePost
from ari_app.store.database import Database, StoreError
from ari_app.store.letters import Letter, LetterStore
from ari_app.store.voicemails import Counts, Voicemail, VoicemailStore


class Catalogue(VoicemailStore):
    """Keeps messages, and is away as often as told."""

    def __init__(self) -> None:
        super().__init__(Database("postgresql://nowhere"))
        self.kept: list[Voicemail] = []
        self.away = 0

    async def add(self, message: Voicemail) -> None:
        if self.away:
            self.away -= 1
            raise StoreError("connection refused")
        self.kept.append(message)

    async def mailbox(self, group: str) -> str | None:
        return "sales@office" if group == "Sales" else None

    async def counts(self) -> dict[str, Counts]:
        return {"sales@office": Counts(len(self.kept), 0)}


@dataclass
class Inbox:
    """A mail server that refuses as often as told."""

    refusals: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: the least of RFC 5321 that a client needs."""
        writer.write(b"220 inbox\r\n")
        try:
            while line := await reader.readline():
                match line[:4].upper().strip():
                    case b"DATA":
                        writer.write(b"354 go on\r\n")
                        content = await reader.readuntil(b"\r\n.\r\n")
                        writer.write(self.take(content[:-3]))
                    case b"QUIT":
                        writer.write(b"221 bye\r\n")
                        return
                    case _:
                        writer.write(b"250 inbox\r\n")
        finally:
            writer.close()
            await writer.wait_closed()

    def take(self, content: bytes) -> bytes:
        if self.refusals:
            self.refusals -= 1
            return b"451 try again later\r\n"
        letter = message_from_bytes(content, policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return b"250 kept\r\n"


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    async with await asyncio.start_server(inbox.serve, "127.0.0.1", 0) as server:
        inbox.port = server.sockets[0].getsockname()[1]
        yield inbox


@pytest.fixture
def left(tmp_path: Path) -> Voicemail:
    file = tmp_path / "message.wav"
    file.write_bytes(b"RIFF sound")
    return Voicemail(
        id=uuid.uuid4(),
        call_id=uuid.uuid4(),
        number="15550783881",
        group="Sales",
        file=str(file),
        seconds=12.3,
        created_at=datetime(2026, 11, 22, 18, 0, tzinfo=UTC),
        caller_number="+4915112345678",
        caller_name="Zoë Müller",
    )


def mail(port: int) -> MailConfig:
    return MailConfig(
        host="127.0.0.1", port=port, security="none", sender="pbx@example.com", recipients=("sales@example.com",)
    )


@pytest.fixture
async def asterisk() -> AsyncIterator[tuple[FakeAri, AriClient]]:
    async with FakeAri() as fake, AriClient(fake.url, fake.username, fake.password, "app") as client:
        yield fake, client


async def done(post: MessagePost) -> None:
    async with asyncio.timeout(10):
        while post._tasks:
            await asyncio.sleep(0.01)


async def test_a_message_is_catalogued_and_the_lamp_is_lit(
    asterisk: tuple[FakeAri, AriClient], left: Voicemail
) -> None:
    fake, client = asterisk
    catalogue = Catalogue()
    async with MessagePost(catalogue, client, Path("/nowhere"), None) as post:
        post.hand_over(left)
        await done(post)
    assert catalogue.kept == [left]
    lamps = [request.query for request in fake.requests if request.path == "/mailboxes/sales@office"]
    assert lamps[-1] == {"oldMessages": "0", "newMessages": "1"}


async def test_where_asterisk_has_no_mailboxes_the_dialplan_lights_the_lamp(
    asterisk: tuple[FakeAri, AriClient], left: Voicemail
) -> None:
    fake, client = asterisk
    fake.answer("PUT", "/mailboxes/sales@office", status=404, message="Resource not found")
    before = client.subscriptions
    async with MessagePost(Catalogue(), client, Path("/nowhere"), None) as post:
        post.hand_over(left)
        await done(post)
    request = [request for request in fake.requests if request.path == "/channels"][-1]
    assert request.query["endpoint"] == "Local/s@whatsapp-mwi/n"
    assert request.body == {
        "variables": {"__WHATSAPP_MAILBOX": "sales@office", "__WHATSAPP_NEW": "1", "__WHATSAPP_OLD": "0"}
    }
    assert client.subscriptions == before


async def test_a_lamp_that_cannot_be_lit_is_complained_of_once(
    asterisk: tuple[FakeAri, AriClient], left: Voicemail, caplog: pytest.LogCaptureFixture
) -> None:
    fake, client = asterisk
    fake.answer("PUT", "/mailboxes/sales@office", status=404, message="Resource not found")
    fake.answer("POST", "/channels", status=500, message="Allocation failed")
    async with MessagePost(Catalogue(), client, Path("/nowhere"), None) as post:
        post.hand_over(left)
        post.hand_over(left)
        await done(post)
    assert caplog.text.count("phones cannot be told of messages") == 1


async def test_after_a_reconnect_phones_are_told_again(asterisk: tuple[FakeAri, AriClient]) -> None:
    fake, client = asterisk
    async with MessagePost(Catalogue(), client, Path("/nowhere"), None):
        async with asyncio.timeout(10):
            for times in (1, 2):
                while sum(request.path == "/mailboxes/sales@office" for request in fake.requests) < times:
                    await asyncio.sleep(0.01)
                if times == 1:
                    fake.cut()


async def test_a_message_waits_for_postgresql(
    asterisk: tuple[FakeAri, AriClient], left: Voicemail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_post, "PAUSE", 0.01)
    catalogue = Catalogue()
    catalogue.away = 5
    async with MessagePost(catalogue, asterisk[1], Path("/nowhere"), None) as post:
        post.hand_over(left)
        await done(post)
    assert catalogue.kept == [left]


class Letters(LetterStore):
    """One letter, and what becomes of it."""

    def __init__(self, message: Voicemail) -> None:
        super().__init__(Database("postgresql://nowhere"), "here")
        self.waiting: Voicemail | None = message
        self.attempts = 0
        self.errors: list[str] = []
        self.due = 0.0
        self.over = asyncio.Event()

    async def take(self) -> Letter | None:
        if self.waiting is None or asyncio.get_running_loop().time() < self.due:
            return None
        self.attempts += 1
        return Letter(self.waiting, self.attempts)

    async def next_in(self) -> float | None:
        return None if self.waiting is None else max(0.0, self.due - asyncio.get_running_loop().time())

    async def sent(self, letter: Letter) -> None:
        self.waiting = None
        self.over.set()

    async def failed(self, letter: Letter, error: str, pause: float | None) -> None:
        self.errors.append(error)
        if pause is None:
            self.waiting = None
            self.over.set()
        else:
            self.due = asyncio.get_running_loop().time() + pause


async def delivered(mailer: Mailer, letters: Letters) -> None:
    """Let it work until the letter has gone, or is given up."""
    task = asyncio.create_task(mailer.run())
    async with asyncio.timeout(10):
        await letters.over.wait()
    task.cancel()
    await asyncio.wait([task])


async def test_the_letter_has_the_sound_and_says_who_called(inbox: Inbox, left: Voicemail) -> None:
    inbox.refusals = 2
    letters = Letters(left)
    await delivered(Mailer(mail(inbox.port), letters, pauses=(0.01, 0.02)), letters)
    (letter,) = inbox.letters
    assert len(letters.errors) == 2
    assert letter["Subject"] == "Voicemail from Zoë Müller +4915112345678 (12 s)"
    assert letter["To"] == "sales@example.com"
    text, sound = letter.iter_parts()
    assert "15550783881 (Sales)" in text.get_content()
    assert (sound.get_content_type(), sound.get_content()) == ("audio/wav", b"RIFF sound")
    assert sound.get_filename() == "voicemail.wav"


async def test_a_mail_server_that_never_takes_it_is_given_up(
    inbox: Inbox, left: Voicemail, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.refusals = 99
    letters = Letters(left)
    await delivered(Mailer(mail(inbox.port), letters, pauses=(0.001,)), letters)
    assert not inbox.letters
    assert inbox.refusals == 99 - message_mail.ATTEMPTS
    assert f"does not go out by e-mail; it is in {left.file}" in caplog.text


async def test_a_message_whose_file_is_gone_is_given_up_at_once(inbox: Inbox, left: Voicemail) -> None:
    Path(left.file).unlink()
    letters = Letters(left)
    await delivered(Mailer(mail(inbox.port), letters), letters)
    assert letters.attempts == 1


def test_nothing_a_caller_is_called_gets_into_the_headers(left: Voicemail) -> None:
    with pytest.raises(ValueError, match="linefeed"):
        compose(mail(25), Voicemail(**vars(left) | {"caller_name": "x\nBcc: all@example.com"}), b"")
