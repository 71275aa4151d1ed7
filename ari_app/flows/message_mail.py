"""Messages by e-mail, with the sound."""

import asyncio
import logging
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

import aiosmtplib

from ari_app.config import MailConfig
from ari_app.store.voicemails import Voicemail

logger = logging.getLogger(__name__)

#: Limit for one attempt, s.
SEND_SECONDS = 30.0

#: Pauses before further attempts, s.
PAUSES = (5.0, 30.0, 120.0)


class Mailer:
    def __init__(self, config: MailConfig, pauses: tuple[float, ...] = PAUSES) -> None:
        self._config = config
        self._pauses = pauses

    async def send(self, message: Voicemail) -> None:
        """Try several times; what fails in the end is logged."""
        try:
            sound = await asyncio.to_thread(Path(message.file).read_bytes)
        except OSError as error:
            logger.error("message %s does not go out by e-mail: %s", message.id, error)
            return
        letter = compose(self._config, message, sound)
        for number, pause in enumerate((*self._pauses, None), 1):
            try:
                await self._send(letter)
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                what = str(error) or type(error).__name__
                logger.warning("message %s by e-mail, attempt %d: %s", message.id, number, what)
            else:
                logger.info("message %s went out by e-mail", message.id)
                return
            if pause is not None:
                await asyncio.sleep(pause)
        logger.error("message %s did not go out by e-mail; it is in %s", message.id, message.file)

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
