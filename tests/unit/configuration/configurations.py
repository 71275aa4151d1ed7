"""Valid configurations of every shape, for tests with hypothesis."""

from typing import Any

from hypothesis import strategies as st

NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co")), min_size=1, max_size=20).filter(
    lambda name: name == name.strip()
)
ANY_TEXT = st.text(st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="\0"), min_size=1).filter(
    str.strip
)
SOUNDS = st.sampled_from(["sound:beep", "sound:vm-goodbye", "sound:custom/a_b.c&d"])
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"])
INCOMING = st.sampled_from(["agent_group", "ivr", "ai_agent"])
TIMES = st.integers(0, 24 * 60).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
PRIORITY = st.integers(1, 100)
HOSTS = st.sampled_from(["sip.example.com", "192.0.2.7", "2001:db8::1", "2001:db8::2", "localhost", "a.example."])


def _optional(**settings: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=settings)


@st.composite
def intervals(draw: st.DrawFn, most: int) -> str:
    times = sorted(draw(st.lists(TIMES, min_size=2 * most, max_size=2 * most, unique=True)))
    count = draw(st.integers(0, most))
    return ", ".join(f"{times[2 * n]}-{times[2 * n + 1]}" for n in range(count)) or "closed"


def _schedules() -> st.SearchStrategy[dict[str, Any]]:
    weekdays = st.sampled_from(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"])
    days = st.dates().map(str)
    schedule = {
        "time_zone": ZONES,
        "hours": st.dictionaries(weekdays, intervals(2).filter(lambda hours: hours != "closed")),
        "holidays": st.dictionaries(days, intervals(1), max_size=3),
    }
    return st.dictionaries(NAMES, st.fixed_dictionaries(schedule), max_size=3)


def _agents() -> st.SearchStrategy[dict[str, Any]]:
    resources = st.text("abcXYZ019_.@+-", min_size=1, max_size=8)
    endpoints = st.builds(
        lambda technology, resource: f"{technology}/{resource}", st.sampled_from(["PJSIP", "Local"]), resources
    )
    agent = st.fixed_dictionaries(
        {"name": NAMES}, optional={"voip_only": st.booleans(), "call_back": st.booleans(), "enabled": st.booleans()}
    )
    return st.dictionaries(endpoints, agent, max_size=5)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    schedules, agents = draw(_schedules()), draw(_agents())
    for index, agent in enumerate(agents.values()):
        if draw(st.booleans()):
            agent["extension"] = str(100 + index)
    groups = draw(st.lists(NAMES, max_size=4, unique=True))
    menus = draw(st.lists(NAMES, max_size=3, unique=True))
    ends = [
        "voicemail",
        "sip",
        "ai_agent",
        "dialplan:internal,_X.*#",
        "dialplan:out,600",
        "hangup",
        "hangup:sound:vm-goodbye",
    ]
    ends = [end for end in ends if "." not in end] + [f"voicemail:{name}" for name in groups]
    places = st.sampled_from([*ends, *(f"group:{name}" for name in groups), *(f"menu:{name}" for name in menus)])
    out = st.sampled_from(ends)
    numbers = draw(_numbers(sorted(schedules), groups, menus))
    group_entries = {name: draw(_group(sorted(agents), places, out)) for name in groups}
    at_meta = [number for number, entry in numbers.items() if "phone_number_id" in entry]
    for entry in group_entries.values():
        if at_meta and bool(draw(st.booleans())):
            entry["calls_from"] = draw(st.sampled_from(at_meta))
    return {
        "schedules": schedules,
        "agents": agents,
        "groups": group_entries,
        "menus": {name: draw(_menu(sorted(schedules), places, out)) for name in menus},
        "numbers": numbers,
    }


@st.composite
def _group(
    draw: st.DrawFn, agents: list[str], places: st.SearchStrategy[str], out: st.SearchStrategy[str]
) -> dict[str, Any]:
    group = draw(
        _optional(
            strategy=st.sampled_from(["ring_all", "longest_idle", "fewest_calls", "round_robin", "random", "linear"]),
            ring_seconds=st.integers(3, 300),
            cool_down_seconds=st.integers(0, 3600),
            auto_pause_misses=st.integers(1, 100),
            join_empty=st.sampled_from(["always", "logged_in", "available"]),
            leave_empty=st.sampled_from(["never", "logged_in", "available"]),
            no_agent=out,
            music_class=NAMES,
            announce_position=st.booleans(),
            whisper=SOUNDS,
            voicemail_mailbox=st.just("sales@default"),
        )
    )
    if agents:
        group["members"] = draw(st.dictionaries(st.sampled_from(agents), PRIORITY))
    if draw(st.booleans()):
        group |= {"exit_digit": draw(st.sampled_from("0123456789*#")), "exit_to": draw(places)}
    return group


@st.composite
def _menu(
    draw: st.DrawFn, schedules: list[str], places: st.SearchStrategy[str], out: st.SearchStrategy[str]
) -> dict[str, Any]:
    menu: dict[str, Any] = {"prompt": draw(SOUNDS)}
    menu |= draw(
        _optional(
            options=st.dictionaries(
                st.text("0123456789*#", min_size=1, max_size=8), st.just("back") | places, max_size=4
            ),
            retries=st.integers(0, 10),
            language=st.sampled_from(["en", "no", "pt_BR"]),
            direct_dial=st.booleans(),
            no_input=out,
        )
    )
    if schedules and bool(draw(st.booleans())):
        menu |= {"schedule": draw(st.sampled_from(schedules)), "closed": draw(out)}
    return menu


@st.composite
def _numbers(draw: st.DrawFn, schedules: list[str], groups: list[str], menus: list[str]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for index, digits in enumerate(
        draw(st.lists(st.text("0123456789", min_size=1, max_size=15), max_size=4, unique=True))
    ):
        number: dict[str, Any] = {}
        if draw(st.booleans()):
            number = {"phone_number_id": f"{index}{draw(st.integers(0, 10**20))}", "name": draw(NAMES)}
            if draw(st.booleans()):
                numbers[digits] = number | {"incoming": "none"}
                continue
        number |= draw(
            _optional(
                together=st.booleans(),
                handled_by_sip=st.booleans(),
                calling_enabled=st.booleans(),
                call_icon=st.booleans(),
                callback_permission=st.booleans(),
                on_drift=st.sampled_from(["show", "reapply", "adopt"]),
                max_calls=st.integers(1, 1000),
                priority=PRIORITY,
                waiting_prompt=SOUNDS,
                recording=st.booleans(),
                recording_days=st.integers(1, 36500),
                permission_prompt=st.booleans(),
                voicemail_longest_seconds=st.integers(61, 1800),
                voicemail_silence_seconds=st.integers(1, 60),
                voicemail_shortest_seconds=st.integers(0, 60),
            )
        )
        number["incoming"] = draw(INCOMING if menus else st.sampled_from(["agent_group", "ai_agent"]))
        if number["incoming"] == "ivr":
            number["menu"] = draw(st.sampled_from(menus))
        if groups:
            number["groups"] = draw(st.lists(st.sampled_from(groups), unique=True))
        if schedules and bool(draw(st.booleans())):
            number["schedule"] = draw(st.sampled_from(schedules))
        hosts = draw(st.lists(HOSTS, max_size=5, unique=True))
        number["sip_targets"] = [{"host": host, "incoming": draw(INCOMING), **draw(_target())} for host in hosts]
        numbers[digits] = number
    return numbers


def _target() -> st.SearchStrategy[dict[str, Any]]:
    return _optional(
        port=st.integers(1, 65535),
        transport=st.sampled_from(["udp", "tcp", "tls"]),
        priority=PRIORITY,
        weight=PRIORITY,
        max_calls=st.integers(1, 1000),
        voip_only=st.booleans(),
    )
