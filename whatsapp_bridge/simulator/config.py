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
