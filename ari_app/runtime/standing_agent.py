"""An agent for people who have no SIP phone at hand: a phone that is a real SIP user agent and answers by itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ari_app.media.speech import sentence
from ari_app.runtime.errors import ProcessError
from ari_app.runtime.phones import Baresip, PhoneError, SipAccount
from ari_app.runtime.stack import Stack

ACCOUNT = "1001"
WORDS = ("hello", "demo-congrats")
"""Asterisk's own: Hello. Congratulations, you have successfully installed …"""
ANSWERS_AFTER_MS = 3000
"""Long enough to be seen ringing."""
TALK_LIMIT_S = 600.0


@contextlib.asynccontextmanager
async def standing_agent(stack: Stack) -> AsyncIterator[None]:
    """Phone 1001, registered; it takes each call after three seconds and speaks. Raises ProcessError."""
    words = sentence(stack.closure.asterisk_data / "sounds/en", WORDS)
    account = SipAccount(ACCOUNT, stack.asterisk.phones[ACCOUNT].password, port=stack.asterisk.sip_port)
    phone = Baresip.start(
        stack.closure,
        stack.folder / "standing-agent",
        account,
        microphone=words,
        answer_after_ms=ANSWERS_AFTER_MS,
        talk_limit_s=TALK_LIMIT_S,
    )
    try:
        async with phone:
            yield
    except PhoneError as error:
        raise ProcessError(f"The agent's phone does not run: {error}") from error
