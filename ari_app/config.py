"""The application's part of the configuration file."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from ari_app.calls.refusal import SPOKEN, CallingRules, Rule

MediaUri = Annotated[str, StringConstraints(pattern=r"^(sound|recording|number|digits|characters|tone):.{1,200}$")]
Spoken = Annotated[str, StringConstraints(pattern=r"^(sound|prompt):[A-Za-z0-9_/&.-]{1,200}$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


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


class MailConfig(_Section):
    """`[app.mail]`: voicemail goes to people by e-mail."""

    host: str
    port: int = Field(25, ge=1, le=65535)
    security: Literal["none", "starttls", "tls"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    recipients: tuple[Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = Field(min_length=1)


class BalanceConfig(_Section):
    """`[app.calling_out.balance]`: a system of the administrator's is asked whether a call can be paid."""

    url: str = Field(pattern=r"^https?://")
    token: SecretStr | None = None
    "Sent as `Authorization: Bearer …`."
    timeout_seconds: float = Field(2.0, ge=0.1, le=10)
    "The agent waits for the answer, s."
    when_away: Literal["allow", "refuse"] = "refuse"
    "What happens to calls while it does not answer, or not as it should."


class CallingOutConfig(_Section):
    """`[app.calling_out]`: calls to WhatsApp users."""

    ring_seconds: int = Field(60, ge=5, le=120)
    "How long the user's phone may ring, s."
    call_back_hours: int = Field(24, ge=1, le=168)
    "An invitation that is accepted within so many hours makes the agent's phone ring."
    customer_countries: frozenset[Country] | None = None
    "ISO 3166 countries whose users nobody may call; None: the list that comes with the program."
    customer_prefixes: dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{2,15}$")], str] | None = None
    "Digits that numbers of a region begin with, and its name: nobody there may be called; None: as shipped."
    business_countries: frozenset[Country] | None = None
    "ISO 3166 countries whose business numbers may not call; None: as shipped."
    prompts: dict[Rule, tuple[Spoken, ...]] = {}
    "What agents hear instead of the sounds that come with the program, by the code of the refusal."
    failed_prompts: tuple[Spoken, ...] = ("sound:im-sorry", "sound:please-try-call-later")
    "What agents hear when WhatsApp does not take the call, or breaks it off before the user answers."
    balance: BalanceConfig | None = None
    "Ask there instead of the balance in PostgreSQL."

    @property
    def rules(self) -> CallingRules:
        shipped = CallingRules.shipped()
        return CallingRules(
            shipped.customer_countries if self.customer_countries is None else self.customer_countries,
            shipped.customer_prefixes if self.customer_prefixes is None else self.customer_prefixes,
            shipped.business_countries if self.business_countries is None else self.business_countries,
        )

    def spoken(self, rule: Rule) -> tuple[str, ...]:
        """What the agent hears who is refused."""
        return self.prompts.get(rule, SPOKEN[rule])


class AppConfig(_Section):
    name: str = Field("asterisk-whatsapp", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    "Name of the Stasis application, as the dialplan calls it."
    node: str = Field("", max_length=128)
    "Its name among the applications that share the database, one for each Asterisk; the machine's name if empty."
    no_route_prompt: MediaUri = "sound:ss-noservice"
    "What callers of a number without a route hear."
    fault_prompt: MediaUri = "sound:sorry-youre-having-problems"
    "What callers hear when their call cannot be handled because something on our side is broken."
    max_calls: int = Field(500, ge=1, le=100_000)
    "Calls at once; further ones are refused with cause 42 (congestion)."
    prompts_folder: Path = Path("/var/lib/asterisk-whatsapp/prompts")
    "Prompts of our own; Asterisk must be able to read it under the same path."
    recordings_folder: Path = Path("/var/lib/asterisk-whatsapp/recordings")
    "Recordings of calls, one stereo file each."
    pause_reasons: dict[Annotated[str, StringConstraints(pattern=r"^[1-9]$")], str] = {
        "1": "Break",
        "2": "Lunch",
        "3": "Meeting",
        "4": "Training",
        "5": "Paperwork",
    }
    "What the digit says with which an agent pauses."
    voicemail_folder: Path = Path("/var/lib/asterisk-whatsapp/voicemail")
    "Messages that callers left."
    mail: MailConfig | None = None
    pstn_guard: bool = True
    "Keep WhatsApp calls from agents, SIP targets and contexts that are not marked free of the telephone network."
    voip_contexts: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,79}$")], ...] = ()
    "Contexts of the dialplan that reach no telephone network: WhatsApp calls may go on there."
    sip_target_ring_seconds: int = Field(20, ge=3, le=300)
    "How long one SIP target may take to answer before the next one is tried, s."
    sip_target_qualify_seconds: int = Field(15, ge=2, le=3600)
    "How often Asterisk asks each SIP target by OPTIONS whether it is there, s."
    calling_out: CallingOutConfig = Field(default_factory=lambda: CallingOutConfig.model_validate({}))


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
