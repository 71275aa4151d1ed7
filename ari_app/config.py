"""The application's part of the configuration file."""

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

MediaUri = Annotated[str, StringConstraints(pattern=r"^(sound|recording|number|digits|characters|tone):.{1,200}$")]


class ConfigError(Exception):
    """The configuration file cannot be used; the message names file, setting and remedy."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PostgresConfig(_Section):
    dsn: SecretStr


class AriConfig(_Section):
    url: str = Field("http://127.0.0.1:8088", pattern=r"^https?://")
    "Base of Asterisk's HTTP server; ARI is below it."
    username: str
    password: SecretStr


class AppConfig(_Section):
    name: str = Field("asterisk-whatsapp", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    "Name of the Stasis application, as the dialplan calls it."
    no_route_prompt: MediaUri = "sound:ss-noservice"
    "What callers of a number without a route hear."
    fault_prompt: MediaUri = "sound:sorry-youre-having-problems"
    "What callers hear when their call cannot be handled because something on our side is broken."
    max_calls: int = Field(500, ge=1, le=100_000)
    "Calls at once; further ones are refused with cause 42 (congestion)."


class Config(BaseModel):
    """Sections of other processes in the same file are not ours to judge."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    postgres: PostgresConfig
    ari: AriConfig
    app: AppConfig = Field(default_factory=lambda: AppConfig.model_validate({}))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the file. Raises ConfigError, whose message has one part for each fault, in one
        line.
        """
        try:
            return cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
        except ValidationError as error:
            faults = [f"[{'.'.join(map(str, e['loc']))}] {e['msg']}" for e in error.errors()]
            raise ConfigError(f"{path}: " + "; ".join(faults)) from error
