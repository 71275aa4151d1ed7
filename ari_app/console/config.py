"""The console's part of the configuration file."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, field_validator

from ari_app.config import AriConfig, Config


class ConsoleConfig(BaseModel):
    """`[console]`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field("127.0.0.1:8090", pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$")
    "host:port. Port 0: any that is free."
    public_url: str | None = Field(None, pattern=r"^https?://[^/?#\s]+$")
    "How browsers reach it, through a proxy with TLS as a rule: https makes cookies secure. None: as it listens."
    behind_proxy: bool = False
    "A proxy of ours is in front: the last address in X-Forwarded-For is the browser's."
    idle_minutes: int = Field(120, ge=5, le=10_080)
    "A session without a request ends after so long."
    session_hours: int = Field(12, ge=1, le=720)
    "A session ends after so long, whatever happens in it."

    api_per_minute: int = Field(600, ge=1, le=1_000_000)
    "Requests that one token of the API may make in a minute."

    webhook_networks: tuple[IPvAnyNetwork, ...] = ()
    "Networks that webhooks may go to although they are not public, such as 10.0.5.0/24."

    sounds_folder: Path | None = None
    "Where Asterisk's sounds of one language are, such as /usr/share/asterisk/sounds/en: for listening to them."

    @field_validator("listen")
    @classmethod
    def _port(cls, listen: str) -> str:
        if int(listen.rpartition(":")[2]) > 65535:
            raise ValueError("there is no such port")
        return listen

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_secure(self) -> bool:
        return self.public_url is not None and urlsplit(self.public_url).scheme == "https"

    @property
    def origin(self) -> str | None:
        """As browsers send it, lower case, without a port that goes without saying (RFC 6454, 6.2)."""
        if self.public_url is None:
            return None
        parts = urlsplit(self.public_url.lower())
        default = {"http": 80, "https": 443}[parts.scheme]
        return f"{parts.scheme}://{parts.hostname if parts.port == default else parts.netloc}"


class ConsoleFile(Config):
    """The file as the console reads it: the application's folders, and no Asterisk."""

    ari: AriConfig | None = None  # type: ignore[assignment]
    console: ConsoleConfig = Field(default_factory=lambda: ConsoleConfig.model_validate({}))
