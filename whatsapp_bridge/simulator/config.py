"""What the simulator reads of the shared TOML file: `[simulator]`, and the secrets in `[meta]`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator


class ConfigError(Exception):
    """The configuration cannot be used; the message says why in one line."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NumberConfig(_Section):
    """A business number that users can call."""

    phone_number_id: str = Field(min_length=1, max_length=64)
    display_number: str = Field(pattern=r"^\d{3,20}$")
    name: str = Field(default="", max_length=128, description="the business, as the phone in the browser shows it")
    waba_id: str = "102290129340398"
    test_number: bool = Field(default=False, description="one of Meta's test numbers: wider limits")
    calling: Literal["ENABLED", "DISABLED", "NOT_SET"] = Field(default="ENABLED", description="calling.status at first")
    messaging_limit: int = Field(default=2000, ge=0, description="below 2000 calling cannot be enabled (138015)")
    calls_subscribed: bool = Field(default=True, description="an app takes the webhook field calls, else 138018")


class Template(_Section):
    """A message template that the business has registered."""

    name: str = Field(default="call_permission", pattern=r"^[a-z0-9_]{1,512}$")
    language: str = "en"
    parameters: int = Field(default=0, ge=0, description="variables in its body")
    asks_permission: bool = Field(default=True, description="it has a call_permission_request component")


class PermissionLimits(_Section):
    """How often a business may ask, call and be ignored, for each of its numbers and each user."""

    requests_per_day: int = Field(default=1, ge=0)
    requests_per_week: int = Field(default=2, ge=0)
    connected_per_day: int = Field(default=100, ge=0, description="connected calls of the business")
    unanswered_warning: int = Field(default=2, ge=1, description="calls not answered in a row: the user is told")
    unanswered_revocation: int = Field(default=4, ge=1, description="calls not answered in a row: revoked")
    queries_per_second: int = Field(default=100, ge=1, description="GET call_permissions, then 613")

    def requests(self, test_number: bool) -> tuple[int, int]:
        """In a day, in a week."""
        return (25, 100) if test_number else (self.requests_per_day, self.requests_per_week)

    def unanswered(self, test_number: bool) -> tuple[int, int]:
        """Until the user is told, until the permission is revoked."""
        return (5, 10) if test_number else (self.unanswered_warning, self.unanswered_revocation)


class Timers(_Section):
    """How long Meta waits, in seconds. Each default is what was observed or documented of the service."""

    ring: float = Field(default=45.0, gt=0, description="connect webhook to accept; 30 to 60 s are known")
    first_media: float = Field(default=20.0, gt=0, description="accept to the first RTP packet of the business")
    media_gap: float = Field(default=30.0, gt=0, description="longest pause between the business's packets")
    answer_timeout: float = Field(default=60.0, gt=0, description="a business-initiated call that nobody answers")


class SdpRules(_Section):
    """How strictly a business's SDP is judged."""

    strict: bool = Field(default=True, description="false: only what makes media impossible is refused")
    unknown_codecs: Literal["warn", "refuse"] = "refuse"
    fingerprint_error: int = Field(default=138008, description="code for anything but one sha-256 fingerprint")


class WebhookConfig(_Section):
    """How webhooks are posted."""

    timeout: float = Field(default=20.0, gt=0, description="seconds to wait for the receiver's reply")
    retry_first: float = Field(default=1.0, gt=0, description="seconds before the first retry; doubles each time")
    retry_attempts: int = Field(default=6, ge=1, description="posts of one webhook altogether")
    unknown_keys: bool = Field(default=False, description="add keys no document names to every payload")


class SimulatorConfig(_Section):
    """Everything one simulator process needs."""

    host: str
    port: int = Field(ge=0, le=65535)
    webhook_url: str = Field(pattern=r"^https?://")
    media_address: str = "127.0.0.1"
    recordings: Path
    numbers: tuple[NumberConfig, ...] = Field(min_length=1)
    timers: Timers = Timers()
    sdp: SdpRules = SdpRules()
    webhooks: WebhookConfig = WebhookConfig()
    limits: PermissionLimits = PermissionLimits()
    templates: tuple[Template, ...] = (Template(),)
    access_token: SecretStr
    app_secret: SecretStr
    verify_token: SecretStr

    @field_validator("access_token", "app_secret", "verify_token")
    @classmethod
    def _not_empty(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value():
            raise ValueError("must not be empty")
        return value

    @model_validator(mode="after")
    def _numbers_differ(self) -> SimulatorConfig:
        ids = [number.phone_number_id for number in self.numbers]
        if len(set(ids)) != len(ids):
            raise ValueError("two numbers have the same phone_number_id")
        return self


_META_KEYS = ("access_token", "app_secret", "verify_token")


def config_from(document: dict[str, Any]) -> SimulatorConfig:
    """The configuration in a parsed TOML document. Raises ConfigError."""
    section = document.get("simulator")
    if not isinstance(section, dict):
        raise ConfigError("there is no [simulator] section")
    meta = document.get("meta")
    if not isinstance(meta, dict):
        raise ConfigError("there is no [meta] section (access_token, app_secret, verify_token)")
    values = dict(section)
    listen = str(values.pop("listen", "127.0.0.1:9000"))
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdigit():
        raise ConfigError(f"[simulator] listen = {listen!r} is not <address>:<port>")
    values |= {"host": host.strip("[]"), "port": int(port)}
    values |= {key: meta[key] for key in _META_KEYS if key in meta}
    try:
        return SimulatorConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        section_name = "meta" if where in _META_KEYS else "simulator"
        raise ConfigError(f"[{section_name}] {where}: {first['msg']}") from None


def load(path: Path) -> SimulatorConfig:
    """Reads the TOML file at `path`. Raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        return config_from(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
