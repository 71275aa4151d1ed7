"""The bridge's part of the configuration file."""

import socket
import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

HostPort = Annotated[str, StringConstraints(pattern=r"^[^:\s]+:[0-9]{1,5}$|^\[[0-9a-fA-F:]+\]:[0-9]{1,5}$")]


class ConfigError(Exception):
    """The configuration file cannot be used; the message names file, setting and remedy."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresConfig(_Section):
    dsn: SecretStr


class AriConfig(_Section):
    url: str = Field("http://127.0.0.1:8088", pattern=r"^https?://")
    "Base of Asterisk's HTTP server; ARI and the media websocket are below it."
    username: str
    password: SecretStr


class BridgeConfig(_Section):
    listen: HostPort = "127.0.0.1:8081"
    "Where the webhook receiver listens; a TLS proxy stands in front of it."
    name: str = Field("asterisk-whatsapp-bridge", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    "Name of the bridge's own Stasis application."
    context: str = Field("whatsapp-in", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    "Dialplan context where WhatsApp calls arrive."
    ring_seconds: float = Field(60.0, ge=5, le=300)
    "How long a WhatsApp user's phone may ring; a shorter limit is `Dial()`'s or the application's."
    media_address: str = ""
    "Local address for media with Meta; empty: the one the default route uses."
    media_public_address: str | None = None
    "Address to announce instead, behind a one-to-one NAT."

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class WordingConfig(_Section):
    """How a number asks users for permission to call them."""

    permission_text: str | None = Field(None, min_length=1, max_length=1024)
    "Text of the request inside the service window; none: WhatsApp's own words only."
    permission_template: str | None = Field(None, pattern=r"^[a-z0-9_]{1,512}$")
    "Name of the approved template, without variables, for users who have not written or called within 24 h."
    permission_language: str = Field("en", pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")
    "The template's language code."


class MetaConfig(WordingConfig):
    graph_url: str = Field("https://graph.facebook.com", pattern=r"^https?://")
    api_version: str = Field("v23.0", pattern=r"^v[0-9]+\.[0-9]+$")
    access_token: SecretStr
    app_secret: SecretStr
    verify_token: SecretStr
    settings_seconds: int = Field(600, ge=5, le=86400)
    "How often Meta is asked whether somebody has changed a number's settings elsewhere, s."
    numbers: dict[str, WordingConfig] = Field(default_factory=dict)
    "By phone_number_id, what differs from the above: [meta.numbers.106540352242922]"

    def wording(self, phone_number_id: str) -> WordingConfig:
        """How this number asks."""
        own = self.numbers.get(phone_number_id)
        if own is None:
            return self
        fields = WordingConfig.model_fields
        return WordingConfig(**{name: getattr(own if name in own.model_fields_set else self, name) for name in fields})

    @model_validator(mode="after")
    def _no_empty_secret(self) -> Self:
        for name in ("access_token", "app_secret", "verify_token"):
            if not getattr(self, name).get_secret_value():
                raise ValueError(f"{name} must not be empty")
        return self


class Config(BaseModel):
    """Sections of other processes in the same file are not ours to judge."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    postgres: PostgresConfig
    ari: AriConfig
    bridge: BridgeConfig = Field(default_factory=lambda: BridgeConfig.model_validate({}))
    meta: MetaConfig

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the file. Raises ConfigError with one line for each fault."""
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
        except ValidationError as error:
            faults = [f"{path}: [{'.'.join(map(str, e['loc']))}] {e['msg']}" for e in error.errors()]
            raise ConfigError("\n".join(faults)) from error


def default_media_address() -> str:
    """The local address of the default route; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address
