"""Asking a system of the administrator's whether an outbound call can be paid.

POST of {"call", "number", "to", "country", "agent", "price_per_minute", "currency"} (`call` is null when only an
invitation is about to go out, prices are text or null); the answer is JSON: {"allowed": true or false, "seconds": how
long the call may last, or null, "reason": words for the agent}.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ari_app.config import BalanceConfig

logger = logging.getLogger(__name__)

#: Longest answer that is read, bytes.
ANSWER_BYTES = 10_000


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    allowed: bool
    seconds: int | None = Field(None, ge=0, le=10_000_000)
    reason: str | None = Field(None, max_length=300)


@dataclass(frozen=True)
class Verdict:
    allowed: bool
    limit: timedelta | None = None
    "How long the call may last."
    reason: str = ""
    is_known: bool = True
    "False when nobody answered, and the configuration decided."


class BalanceEndpoint:
    def __init__(self, config: BalanceConfig) -> None:
        self._config = config

    async def ask(self, question: Mapping[str, Any]) -> Verdict:
        """Never raises: while there is no answer, the configuration says what happens."""
        config = self._config
        try:
            async with asyncio.timeout(config.timeout_seconds):
                answer = _Answer.model_validate_json(await self._post(question))
        except TimeoutError:
            return self._away(f"it does not answer within {config.timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return self._away(str(error) or type(error).__name__)
        except (ValidationError, ValueError) as error:
            return self._away(f"its answer cannot be read ({type(error).__name__})")
        limit = None if answer.seconds is None else timedelta(seconds=answer.seconds)
        reason = "".join(c for c in answer.reason or "" if c.isprintable())
        return Verdict(answer.allowed and limit != timedelta(), limit, reason)

    async def _post(self, question: Mapping[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._config.token is not None:
            headers["Authorization"] = f"Bearer {self._config.token.get_secret_value()}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                self._config.url, data=json.dumps(question), headers=headers, allow_redirects=False
            ) as response,
        ):
            if response.status != 200:
                raise aiohttp.ClientError(f"it answers HTTP {response.status}")
            body = await response.content.read(ANSWER_BYTES + 1)
            while len(body) <= ANSWER_BYTES and (more := await response.content.read(ANSWER_BYTES)):
                body += more
        if len(body) > ANSWER_BYTES:
            raise ValueError("too long")
        return body

    def _away(self, why: str) -> Verdict:
        allowed = self._config.when_away == "allow"
        logger.error("%s cannot say whether a call can be paid: %s", self._config.url, why)
        return Verdict(allowed, None, "the system that knows the balance does not answer", is_known=False)
