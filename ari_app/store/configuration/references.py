"""What a single setting cannot show: names that nothing has, things that are there twice, settings that need others."""

import ipaddress

from ari_app.store.configuration.faults import Position, did_you_mean, quoted
from ari_app.store.configuration.models import GroupEntry, MenuEntry, NumberEntry, SipTargetEntry
from ari_app.store.configuration.reading import Reading

MOST_SIP_TARGETS = 5

#: Settings of a number that belong to its route, and have no place where there is none.
_ROUTE_SETTINGS = frozenset(NumberEntry.model_fields) - {"phone_number_id", "name", "incoming"}

Path = tuple[str | int, ...]


def check(reading: Reading) -> None:
    """Add to the reading's faults what is wrong between its entries."""
    _agents(reading)
    _phone_number_ids(reading)
    for name, number in reading.document.numbers.items():
        _number(reading, ("numbers", name), number)
    for name, group in reading.document.groups.items():
        _group(reading, ("groups", name), group)
    for name, menu in reading.document.menus.items():
        _menu(reading, ("menus", name), menu)
    for name, prompt in reading.document.prompts.items():
        if prompt.text is not None and prompt.file is not None:
            reading.complain("a prompt is made of a text or of a file, not of both", "prompts", name, "file", key=True)


def _agents(reading: Reading) -> None:
    endpoints: dict[str, str] = {}
    extensions: dict[str, str] = {}
    for endpoint, agent in reading.document.agents.items():
        technology, _, resource = endpoint.partition("/")
        known = endpoints.setdefault(f"{technology.upper()}/{resource}", endpoint)
        if known != endpoint:
            message = f"{quoted(endpoint)} is the same endpoint as {quoted(known)}"
            reading.complain(message, "agents", endpoint, key=True)
        if agent.extension is None:
            continue
        owner = extensions.setdefault(agent.extension, endpoint)
        if owner != endpoint:
            message = f"the extension {agent.extension} is that of {quoted(owner)} already"
            reading.complain(message, "agents", endpoint, "extension")


def _phone_number_ids(reading: Reading) -> None:
    owners: dict[str, str] = {}
    for name, number in reading.document.numbers.items():
        if number.phone_number_id is None:
            continue
        owner = owners.setdefault(number.phone_number_id, name)
        if owner != name:
            message = f"the phone_number_id {number.phone_number_id} is that of {quoted(owner)} already"
            reading.complain(message, "numbers", name, "phone_number_id")


def _number(reading: Reading, path: Path, number: NumberEntry) -> None:
    if number.phone_number_id is None and path not in reading.faulty:
        if number.name:
            reading.complain("only a number with a phone_number_id has a name", *path, "name", key=True)
        if number.incoming == "none":
            message = "a number without phone_number_id and without route is nothing at all; remove it"
            reading.complain(message, *path, "incoming")
    if number.incoming == "none":
        for setting in sorted(_ROUTE_SETTINGS & number.model_fields_set):
            reading.complain(f"incoming is none, so there is no call for {setting}", *path, setting, key=True)
    elif number.incoming == "ivr" and number.menu is None and path not in reading.faulty:
        reading.complain("incoming is ivr, so the number needs a menu", *path, "incoming")
    elif number.incoming != "ivr" and number.menu is not None:
        reading.complain(f"incoming is {number.incoming}; a menu belongs to incoming: ivr", *path, "menu", key=True)
    for index, group in enumerate(number.groups):
        _known(reading, "group", group, *path, "groups", index)
        if group in number.groups[:index]:
            reading.complain(f"the group {quoted(group)} is here twice", *path, "groups", index)
    if number.menu is not None:
        _known(reading, "menu", number.menu, *path, "menu")
    if number.schedule is not None:
        _known(reading, "schedule", number.schedule, *path, "schedule")
    if number.voicemail_shortest_seconds >= number.voicemail_longest_seconds:
        message = "every message would be too short: voicemail_shortest_seconds is not below voicemail_longest_seconds"
        reading.complain(message, *path, key=True)
    for setting in ("entry_prompt", "waiting_prompt", "voicemail_prompt", "consent_prompt"):
        _media(reading, getattr(number, setting), *path, setting)
    _sip_targets(reading, (*path, "sip_targets"), number.sip_targets)


def _sip_targets(reading: Reading, path: Path, targets: list[SipTargetEntry]) -> None:
    seen: dict[tuple[str, int], Position] = {}
    for index, target in enumerate(targets):
        if index == MOST_SIP_TARGETS:
            message = f"a number has {MOST_SIP_TARGETS} SIP targets at most, and here are {len(targets)}"
            reading.complain(message, *path, index)
        address = (_one_spelling(target.host), target.port)
        if first := seen.get(address):
            message = f"{target.host} port {target.port} is here twice, first in line {first.line}"
            reading.complain(message, *path, index)
        seen.setdefault(address, reading.root.at(*path, index))


def _one_spelling(host: str) -> str:
    """2001:DB8:0::1 and 2001:db8::1 are one address, and so are a name with and without its dot."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.removesuffix(".")


def _group(reading: Reading, path: Path, group: GroupEntry) -> None:
    for endpoint in group.members:
        _known(reading, "agent", endpoint, *path, "members", endpoint, key=True)
    if path not in reading.faulty:
        _together(reading, path, group, "exit_digit", "exit_to")
    _destination(reading, group.no_agent, *path, "no_agent")
    _destination(reading, group.exit_to, *path, "exit_to")
    _media(reading, group.whisper, *path, "whisper")
    if group.calls_from is not None:
        known = [name for name, number in reading.document.numbers.items() if number.phone_number_id is not None]
        if group.calls_from not in known:
            message = f"there is no number {group.calls_from} with a phone_number_id in this file"
            reading.complain(message + did_you_mean(group.calls_from, known), *path, "calls_from")


def _menu(reading: Reading, path: Path, menu: MenuEntry) -> None:
    for digits, destination in menu.options.items():
        if destination != "back":
            _destination(reading, destination, *path, "options", digits)
    if path not in reading.faulty:
        _together(reading, path, menu, "schedule", "closed")
    if menu.schedule is not None:
        _known(reading, "schedule", menu.schedule, *path, "schedule")
    _destination(reading, menu.closed, *path, "closed")
    _destination(reading, menu.no_input, *path, "no_input")
    _media(reading, menu.prompt, *path, "prompt")
    _media(reading, menu.invalid_prompt, *path, "invalid_prompt")


def _together(reading: Reading, path: Path, entry: GroupEntry | MenuEntry, one: str, other: str) -> None:
    for present, absent in ((one, other), (other, one)):
        if getattr(entry, present) is not None and getattr(entry, absent) is None:
            reading.complain(f"{present} needs {absent} beside it", *path, present, key=True)


def _destination(reading: Reading, text: str | None, *path: str | int) -> None:
    kind, _, target = (text or "").partition(":")
    if kind in ("group", "voicemail") and target:
        _known(reading, "group", target, *path)
    elif kind == "menu":
        _known(reading, "menu", target, *path)
    elif kind == "hangup" and target:
        _media(reading, target, *path)


def _media(reading: Reading, media: str | None, *path: str | int) -> None:
    kind, _, name = (media or "").partition(":")
    if kind == "prompt":
        _known(reading, "prompt", name, *path)


def _known(reading: Reading, sort: str, name: str, *path: str | int, key: bool = False) -> None:
    known = reading.names[f"{sort}s"]
    if name not in known:
        reading.complain(f"there is no {sort} {quoted(name)} in this file{did_you_mean(name, known)}", *path, key=key)
