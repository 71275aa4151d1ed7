"""Settings of the configuration as fields of forms: what they are called, and how they are filled in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ari_app.console.forms import Form
from ari_app.store.configuration.models import Entry

#: The choices "something in the dialplan" and "another sound" of a select; the text is in a field beside it.
DIALPLAN, OTHER = "dialplan:", "other:"


@dataclass(frozen=True)
class Field:
    """`kind`: switch, number, text, select, place, media, rows (read by its page)."""

    name: str
    label: str
    kind: str = "text"
    hint: str = ""
    unit: str = ""
    options: tuple[tuple[str, str], ...] = ()
    optional: bool = False
    required: bool = False
    "Nothing at all is a fault, not the default."
    when: str = ""
    "Shown only while another field has one of these values: `incoming=ivr`."


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    fields: tuple[Field, ...]


def typed(form: Form, field: Field) -> Any:
    """What the form says, as text; "" for nothing."""
    match field.kind:
        case "switch":
            return "true" if form.flag(field.name) else "false"
        case "place":
            return place(form.text(field.name), form.text(f"{field.name}__dialplan"))
        case "media":
            return media(form.text(field.name), form.text(f"{field.name}__other"))
    return form.text(field.name)


def place(chosen: str, extension: str) -> str:
    return f"{DIALPLAN}{extension}" if chosen == DIALPLAN else chosen


def media(chosen: str, other: str) -> str:
    if chosen != OTHER:
        return chosen
    return other if not other or ":" in other else f"sound:{other}"


def rest_of(model: type[Entry], described: Sequence[Section], *elsewhere: str) -> Section | None:
    """Settings that nobody described, so that none is out of reach. None where there is no such."""
    known = {field.name for section in described for field in section.fields} | set(elsewhere)
    found = [
        Field(name, name.replace("_", " ").capitalize(), "switch" if info.annotation is bool else "text", optional=True)
        for name, info in model.model_fields.items()
        if name not in known
    ]
    return Section("More", "", tuple(found)) if found else None


def existing(model: type[Entry], section: Section) -> Section:
    """Without fields that this version of the configuration does not have."""
    return replace(section, fields=tuple(field for field in section.fields if field.name in model.model_fields))


def all_fields(sections: Sequence[Section]) -> list[Field]:
    return [field for section in sections for field in section.fields if field.kind != "rows"]
