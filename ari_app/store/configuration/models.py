"""The configuration file as people write it. Defaults and ranges are those of the SQL schema."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ari_app.store.configuration.fields import (
    Day,
    Flag,
    Holiday,
    Host,
    Hours,
    Incoming,
    Media,
    Name,
    Place,
    PlaceOrBack,
    SpokenText,
    TimeZone,
    Weekday,
    between,
    matching,
    one_of,
    printed,
)

Number = Annotated[str, matching(r"[0-9]{1,15}", "a number: 1 to 15 digits, without +")]
Endpoint = Annotated[str, matching(r"[A-Za-z0-9]+/[A-Za-z0-9_.@+-]{1,120}", "an endpoint, such as PJSIP/1001")]
PromptName = Annotated[
    str, matching(r"[a-z0-9][a-z0-9_-]{0,63}", "a name for a prompt: a-z, 0-9, _ and -, at most 64 of them")
]
Digits = Annotated[str, matching(r"[0-9*#]{1,8}", "what can be dialled: 1 to 8 of 0-9, * and #")]
Digit = Annotated[str, matching(r"[0-9*#]", "one digit, * or #")]
Priority = Annotated[int, between(1, 100)]

#: `members:` with nothing after it has no members.
_OR_EMPTY = BeforeValidator(lambda value: {} if value is None else value)
_OR_NONE_OF = BeforeValidator(lambda value: [] if value is None else value)


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SipTargetEntry(Entry):
    host: Host
    port: Annotated[int, between(1, 65535)] = 5060
    transport: Annotated[str, one_of("udp", "tcp", "tls")] = "udp"
    incoming: Incoming
    priority: Priority = 1
    weight: Annotated[int, between(1, 100)] = 1
    max_calls: Annotated[int, between(1, 1000)] | None = None
    voip_only: Flag = False


class NumberEntry(Entry):
    """A number that is called: what Meta calls it, if it is on WhatsApp, and its route."""

    phone_number_id: Annotated[str, matching(r"[0-9]{1,32}", "Meta's id of a number: digits")] | None = None
    name: Annotated[str, printed(0, 256)] = ""
    incoming: Annotated[str, one_of("agent_group", "ivr", "ai_agent", "none")] = "agent_group"
    "`none`: the number is known, and its callers hear that there is no service."
    groups: Annotated[list[Name], _OR_NONE_OF] = Field(default_factory=list)
    together: Flag = False
    menu: Name | None = None
    handled_by_sip: Flag = False
    calling_enabled: Flag = False
    call_icon: Flag = False
    callback_permission: Flag = False
    on_drift: Annotated[str, one_of("show", "reapply", "adopt")] = "show"
    schedule: Name | None = None
    max_calls: Annotated[int, between(1, 1000)] | None = None
    priority: Annotated[int, between(1, 100)] = 10
    entry_prompt: Media = "sound:queue-thankyou"
    waiting_prompt: Media | None = None
    voicemail_prompt: Media = "sound:vm-intro"
    voicemail_longest_seconds: Annotated[int, between(5, 1800)] = 180
    voicemail_silence_seconds: Annotated[int, between(1, 60)] = 5
    voicemail_shortest_seconds: Annotated[int, between(0, 60)] = 2
    consent_prompt: Media | None = None
    recording: Flag = True
    recording_days: Annotated[int, between(1, 36500)] | None = None
    permission_prompt: Flag = False
    sip_targets: Annotated[list[SipTargetEntry], _OR_NONE_OF] = Field(default_factory=list)


class AgentEntry(Entry):
    name: Annotated[str, printed(1, 128)]
    extension: Annotated[str, matching(r"[0-9]{1,20}", "an extension: 1 to 20 digits")] | None = None
    voip_only: Flag = False
    call_back: Flag = True
    enabled: Flag = True


class GroupEntry(Entry):
    members: Annotated[dict[Endpoint, Priority], _OR_EMPTY] = Field(default_factory=dict)
    strategy: Annotated[str, one_of("ring_all", "longest_idle", "fewest_calls", "round_robin", "random", "linear")] = (
        "longest_idle"
    )
    ring_seconds: Annotated[int, between(3, 300)] = 20
    wrap_up_seconds: Annotated[int, between(0, 3600)] = 5
    cool_down_seconds: Annotated[int, between(0, 3600)] = 60
    max_wait_seconds: Annotated[int, between(5, 86400)] = 300
    max_waiting: Annotated[int, between(1, 10000)] = 100
    auto_pause_misses: Annotated[int, between(1, 100)] | None = None
    join_empty: Annotated[str, one_of("always", "logged_in", "available")] = "logged_in"
    leave_empty: Annotated[str, one_of("never", "logged_in", "available")] = "logged_in"
    service_level_seconds: Annotated[int, between(1, 3600)] = 20
    no_agent: Place = "hangup:sound:vm-nobodyavail"
    music_class: Annotated[str, printed(1, 80)] = "default"
    waiting_interval_seconds: Annotated[int, between(10, 3600)] = 45
    announce_position: Flag = False
    announce_wait: Flag = False
    exit_digit: Digit | None = None
    exit_to: Place | None = None
    whisper: Media | None = None
    calls_from: Number | None = None
    voicemail_mailbox: (
        Annotated[
            str,
            matching(r"[A-Za-z0-9_.-]{1,64}@[A-Za-z0-9_.-]{1,64}", "a mailbox, such as sales@default"),
        ]
        | None
    ) = None


class MenuEntry(Entry):
    prompt: Media
    invalid_prompt: Media = "sound:pbx-invalid"
    options: Annotated[dict[Digits, PlaceOrBack], _OR_EMPTY] = Field(default_factory=dict)
    timeout_seconds: Annotated[int, between(1, 60)] = 5
    digit_seconds: Annotated[int, between(1, 20)] = 2
    retries: Annotated[int, between(0, 10)] = 2
    language: Annotated[str, matching(r"[a-z]{2}(_[A-Z]{2})?", "a language, such as en or pt_BR")] | None = None
    direct_dial: Flag = False
    schedule: Name | None = None
    closed: Place | None = None
    no_input: Place = "hangup:sound:vm-goodbye"


class ScheduleEntry(Entry):
    time_zone: TimeZone
    hours: Annotated[dict[Weekday, Hours], _OR_EMPTY] = Field(default_factory=dict)
    holidays: Annotated[dict[Day, Holiday], _OR_EMPTY] = Field(default_factory=dict)


class PromptEntry(Entry):
    """Neither text nor file: a prompt that the catalogue has already."""

    text: SpokenText | None = None
    file: Annotated[str, printed(1, 4096)] | None = None


class Document(Entry):
    numbers: Annotated[dict[Number, NumberEntry], _OR_EMPTY] = Field(default_factory=dict)
    agents: Annotated[dict[Endpoint, AgentEntry], _OR_EMPTY] = Field(default_factory=dict)
    groups: Annotated[dict[Name, GroupEntry], _OR_EMPTY] = Field(default_factory=dict)
    menus: Annotated[dict[Name, MenuEntry], _OR_EMPTY] = Field(default_factory=dict)
    schedules: Annotated[dict[Name, ScheduleEntry], _OR_EMPTY] = Field(default_factory=dict)
    prompts: Annotated[dict[PromptName, Annotated[PromptEntry, _OR_EMPTY]], _OR_EMPTY] = Field(default_factory=dict)
