"""The configuration as the text of a file: the same text for the same configuration, defaults left out."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ari_app.store.configuration.models import Entry, SipTargetEntry
from ari_app.store.configuration.reading import ENTRIES
from ari_app.store.configuration.tables import Tree

HEADER = """\
# Configuration of asterisk-whatsapp.
#
#   asterisk-whatsapp config validate FILE          says what is wrong with it, and where
#   asterisk-whatsapp config import FILE --dry-run  shows what an import would change
#   asterisk-whatsapp config import FILE            makes it so, all of it or nothing
#
# What is left out of an entry has its default. An entry that is left out is removed by an import.
# Destinations: group:<name>  menu:<name>  voicemail  voicemail:<group>  sip  ai_agent
#               dialplan:<context>,<extension>  hangup  hangup:<sound>
# Sounds:       sound:<file of Asterisk>  prompt:<name>
"""

_COMMENTS = {
    "numbers": "Numbers that are called: with a phone_number_id on WhatsApp, else by voice calls alone.",
    "agents": "Who takes calls: endpoints of the PBX. Only those that are voip_only are offered WhatsApp calls.",
    "groups": "Agents who take calls together. Beside each member its priority: 1 is asked first.",
    "menus": "What callers hear and may press.",
    "schedules": "Opening hours, in local time; days that are not here are closed.",
    "prompts": "Prompts of our own, with the text they were spoken from; {} was made of a file.",
}

#: Written though it is the default: the rest of the entry is read in its light.
_ALWAYS = frozenset({"incoming"})

_PLAIN = re.compile(r"[^\W\d_][\w./@+-]*([:, ][\w./@+-]+)*")
_PLAIN_IN_LISTS = re.compile(r"[^\W\d_][\w./@+-]*( [\w./@+-]+)*")
_HOURS = re.compile(r"[0-9:]{5,8}-[0-9:]{5,8}(, [0-9:]{5,8}-[0-9:]{5,8})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

#: Texts that YAML 1.1 takes for something else.
_RESERVED = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def write(tree: Tree) -> str:
    lines = [HEADER]
    for section in ENTRIES:
        entries = tree.get(section, {})
        lines.append(f"# {_COMMENTS[section]}")
        lines.append(f"{section}:" if entries else f"{section}: {{}}")
        for name, entry in entries.items():
            settings = without_defaults(ENTRIES[section], entry)
            if section == "prompts":
                settings.pop("file", None)  # where ours is kept is no place to load it from
            lines += _entry(_scalar(name), settings)
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def without_defaults(model: type[Entry], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that say something, lists and mappings within them likewise."""
    kept: dict[str, Any] = {}
    for name, value in entry.items():
        default = model.model_fields[name].get_default(call_default_factory=True)
        if value != default or name in _ALWAYS:
            kept[name] = value
    if "sip_targets" in kept:
        kept["sip_targets"] = [without_defaults(SipTargetEntry, target) for target in kept["sip_targets"]]
    return kept


def _entry(name: str, settings: Mapping[str, Any]) -> Iterator[str]:
    if not settings:
        yield f"  {name}: {{}}"
        return
    yield f"  {name}:"
    for setting, value in settings.items():
        match value:
            case dict():
                yield f"    {setting}:"
                yield from (f"      {_scalar(key)}: {_scalar(item)}" for key, item in value.items())
            case [dict(), *_]:
                yield f"    {setting}:"
                for item in value:
                    lines = [f"{key}: {_scalar(part)}" for key, part in item.items()]
                    yield f"      - {lines[0]}"
                    yield from (f"        {line}" for line in lines[1:])
            case list():
                yield f"    {setting}: [{', '.join(_scalar(item, _PLAIN_IN_LISTS) for item in value)}]"
            case _:
                yield f"    {setting}: {_scalar(value)}"


def _scalar(value: object, plain: re.Pattern[str] = _PLAIN) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
    text = str(value)
    if plain.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return text if _HOURS.fullmatch(text) or _DAY.fullmatch(text) else f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in ('"', "\\"):
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
