"""The one TOML file that the processes of a stack share; each reads its own sections."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PHONE_NUMBER_ID = "106540352242922"
BUSINESS_NUMBER = "15550783881"
API_VERSION = "v23.0"

Value = str | int | bool | Sequence[str]
Section = Mapping[str, Value]


def _secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class BusinessNumber:
    """A number of the business at Meta, and the extension it is in the dialplan."""

    phone_number_id: str
    display_number: str
    """Digits, without +."""
    name: str = ""


@dataclass(frozen=True)
class MetaSecrets:
    """What Meta, or the simulator in its place, and the bridge agree on."""

    access_token: str = field(default_factory=_secret, repr=False)
    app_secret: str = field(default_factory=_secret, repr=False)
    verify_token: str = field(default_factory=_secret, repr=False)


def write_toml(path: Path, sections: Mapping[str, Section | Sequence[Section]]) -> None:
    """Write the sections; a sequence becomes an array of tables. Readable by us alone: it has the passwords."""
    lines: list[str] = []
    for name, content in sections.items():
        tables = [content] if isinstance(content, Mapping) else content
        header = f"[{name}]" if isinstance(content, Mapping) else f"[[{name}]]"
        for table in tables:
            lines.append(header)
            lines += [f"{key} = {_toml(value)}" for key, value in table.items()]
            lines.append("")
    path.touch(mode=0o600)
    path.write_text("\n".join(lines), encoding="utf-8")


def _toml(value: Value) -> str:
    """JSON's strings, numbers, truth values and arrays are TOML's too, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
