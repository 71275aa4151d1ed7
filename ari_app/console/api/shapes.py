"""Entries of the configuration as JSON: models made of those of the file, with types in place of checks of text.

What only the whole configuration can tell (that a group is there) is checked when an entry is saved.
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from ari_app.store.configuration.fields import Checked
from ari_app.store.configuration.models import Entry

_STRICT = ConfigDict(extra="forbid", frozen=True)


def shown(name: str, model: type[Entry], /, **more: Any) -> type[BaseModel]:
    """What is answered: `more` (key, version), and all settings."""
    fields: dict[str, Any] = dict(more)
    for setting, field in model.model_fields.items():
        fields[setting] = (_type(field), _default(field))
    return create_model(name, __config__=_STRICT, **fields)


def whole(name: str, model: type[Entry], *without: str) -> type[BaseModel]:
    """What an entry is made of; settings that are not named get their defaults."""
    fields: dict[str, Any] = {
        setting: (_type(field), _default(field))
        for setting, field in model.model_fields.items()
        if setting not in without
    }
    return create_model(name, __config__=_STRICT, **fields)


def partial(name: str, model: type[Entry], *without: str) -> type[BaseModel]:
    """What may be changed of an entry; settings that are not named stay."""
    version = (str | None, Field(None, max_length=128, description="Change it only if this is still its version"))
    fields: dict[str, Any] = {"version": version}
    for setting, field in model.model_fields.items():
        if setting not in without:
            # A default that the schema does not tell: whether it was given is what counts.
            fields[setting] = (_type(field), Field(default_factory=lambda: None))
    return create_model(name, __config__=_STRICT, **fields)


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return ...
    value = field.get_default(call_default_factory=True)
    return Field(default_factory=type(value)) if isinstance(value, list | dict) else value


def _type(field: FieldInfo) -> Any:
    plain = next((one.plain for one in field.metadata if isinstance(one, Checked)), None)
    return plain if plain is not None else _plain(field.annotation)


def _plain(annotation: Any) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        plain = [one.plain for one in annotation.__metadata__ if isinstance(one, Checked)]
        # What comes first is checked last: the last one has the type.
        return plain[0] if plain else _plain(arguments[0])
    if origin in (Union, types.UnionType):
        return Union[tuple(_plain(one) for one in arguments)]  # noqa: UP007 - of a tuple
    if origin is list:
        return list[_plain(arguments[0])]  # type: ignore[misc]
    if origin is dict:
        return dict[_plain(arguments[0]), _plain(arguments[1])]  # type: ignore[misc]
    if isinstance(annotation, type) and issubclass(annotation, Entry):
        return _made(annotation)
    return Annotated[str, Field(max_length=4096)] if annotation is str else annotation


_nested: dict[type[Entry], type[BaseModel]] = {}


def _made(model: type[Entry]) -> type[BaseModel]:
    """One model for each, however often it is used."""
    if model not in _nested:
        _nested[model] = whole(model.__name__.removesuffix("Entry"), model)
    return _nested[model]


def plain_of(model: BaseModel) -> Mapping[str, Any]:
    """What was given, as the configuration has it."""
    return model.model_dump(exclude_unset=True, exclude={"version"})
