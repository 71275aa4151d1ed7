"""Messages by e-mail, with the sound: each is tried for a day."""

import asyncio
import logging
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

import aiosmtplib

from ari_app.config import MailConfig
from ari_app.flows.worker import keep_working
from ari_app.store.letters import Letter, LetterStore
from ari_app.store.voicemails import Voicemail

logger = logging.getLogger(__name__)

#: Limit for one attempt, s.
SEND_SECONDS = 30.0

#: Pauses before further attempts, s; the last one again and again until the letter is given up.
PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0)
ATTEMPTS = 28

#: PostgreSQL is asked so often for letters that nobody spoke of, s.
LOOK_SECONDS = 60.0


class Mailer:
    """One for each application. What has to go out is in PostgreSQL, so that it is not forgotten over a restart."""

    def __init__(self, config: MailConfig, letters: LetterStore, pauses: tuple[float, ...] = PAUSES) -> None:
        self._config = config
        self._letters = letters
        self._pauses = pauses
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is a new letter."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        await keep_working("letters", self._send_due, self._wake, LOOK_SECONDS)

    async def _send_due(self) -> float | None:
        """In how many seconds the next one is due. Raises StoreError."""
        while (letter := await self._letters.take()) is not None:
            await self._try(letter)
        return await self._letters.next_in()

    async def _try(self, letter: Letter) -> None:
        """Raises StoreError."""
        message = letter.message
        try:
            sound = await asyncio.to_thread(Path(message.file).read_bytes)
            await self._send(compose(self._config, message, sound))
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            what = str(error) or type(error).__name__
            logger.warning("message %s by e-mail, attempt %d: %s", message.id, letter.attempts, what)
            pause = None
            if letter.attempts < ATTEMPTS and not isinstance(error, FileNotFoundError | ValueError):
                pause = self._pauses[min(letter.attempts, len(self._pauses)) - 1]
            else:
                logger.error("message %s does not go out by e-mail; it is in %s", message.id, message.file)
            await self._letters.failed(letter, what, pause)
        else:
            logger.info("message %s went out by e-mail", message.id)
            await self._letters.sent(letter)

    async def _send(self, letter: EmailMessage) -> None:
        config = self._config
        await aiosmtplib.send(
            letter,
            hostname=config.host,
            port=config.port,
            use_tls=config.security == "tls",
            start_tls=config.security == "starttls",
            username=config.username,
            password=config.password.get_secret_value() if config.password else None,
            timeout=SEND_SECONDS,
        )


def compose(config: MailConfig, message: Voicemail, sound: bytes) -> EmailMessage:
    """The letter, with the sound as `voicemail.wav`."""
    who = " ".join(part for part in (message.caller_name, message.caller_number) if part) or "an unknown caller"
    letter = EmailMessage()
    letter["From"] = config.sender
    letter["To"] = ", ".join(config.recipients)
    letter["Subject"] = f"Voicemail from {who} ({message.seconds:.0f} s)"
    letter["Date"] = format_datetime(message.created_at)
    letter["Message-ID"] = make_msgid(message.id.hex, config.sender.rpartition("@")[2])
    letter["Auto-Submitted"] = "auto-generated"
    lines = [
        f"From:    {who}",
        f"To:      {message.number}" + (f" ({message.group})" if message.group else ""),
        f"Left at: {message.created_at:%Y-%m-%d %H:%M:%S %Z}",
        f"Length:  {message.seconds:.0f} s",
        f"Id:      {message.id}",
    ]
    letter.set_content("\n".join(lines) + "\n")
    letter.add_attachment(sound, maintype="audio", subtype="wav", filename="voicemail.wav")
    return letter
