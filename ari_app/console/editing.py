"""One entry of the configuration as a form: saved under the rules of the file, faults beside their fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ari_app.console.fields import Field, typed
from ari_app.console.forms import Form
from ari_app.console.keys import STORES
from ari_app.console.session import actor_of
from ari_app.store.configuration.database import ConfigurationError
from ari_app.store.configuration.editing import Edit, NotThere, Outdated, Problem, stamp
from ari_app.store.configuration.tables import Tree
from ari_app.store.console.configuration import ConfigurationStore

STAMP = "stamp"


@dataclass
class Saved:
    """What came of an edit."""

    invalid: dict[str, str] = field(default_factory=dict)
    "By setting, of the entry that was edited; `options/1` for one part of a setting."
    faults: list[str] = field(default_factory=list)
    "What is wrong elsewhere, in words."
    warnings: list[str] = field(default_factory=list)
    changed: bool = False

    @property
    def ok(self) -> bool:
        return not self.invalid and not self.faults

    def note(self, what: str, verb: str = "is") -> str:
        """What the next page says."""
        if not self.changed:
            return f"{what}: nothing was changed."
        return " ".join([f"{what} {verb} saved.", *(f"Note: {sentence(warning)}" for warning in self.warnings)])


async def tree_of(request: web.Request) -> Tree:
    return await ConfigurationStore(request.app[STORES].database).tree()


async def save(request: web.Request, *edits: Edit) -> Saved:
    """Faults in the first edit's entry are told by setting. Raises HTTPConflict and HTTPNotFound."""
    store = ConfigurationStore(request.app[STORES].database)
    try:
        outcome = await store.save(actor_of(request), *edits)
    except Outdated as error:
        raise web.HTTPConflict(text=f"{sentence(str(error))} Open the page again to see how it is now.") from error
    except NotThere as error:
        raise web.HTTPNotFound from error
    except ConfigurationError as error:
        return Saved(faults=[sentence(line) for line in str(error).splitlines()])
    saved = Saved(changed=bool(outcome.changes))
    for problem in outcome.problems:
        own = problem.path[:2] == (edits[0].section, edits[0].name)
        if problem.is_warning:
            saved.warnings.append(problem.message)
        elif own and problem.setting:
            inner = "/".join(map(str, problem.path[2:4]))
            saved.invalid.setdefault(problem.setting, sentence(problem.message))
            saved.invalid.setdefault(inner, sentence(problem.message))
        else:
            saved.faults.append(sentence(problem.message if own else elsewhere(problem)))
    return saved


def edit_of(section: str, name: str, known: Mapping[str, Any], form: Form, fields: Sequence[Field]) -> Edit:
    """The entry with what the form says of these fields; what was left empty gets its default."""
    return Edit(section, name, entry_of(known, form, fields), form.text(STAMP))


def entry_of(known: Mapping[str, Any], form: Form, fields: Sequence[Field]) -> dict[str, Any]:
    entry = {**known, **{one.name: typed(form, one) for one in fields}}
    required = {one.name for one in fields if one.required}
    return {name: value for name, value in entry.items() if name in required or value not in ("", None)}


def elsewhere(problem: Problem) -> str:
    section, name, *rest = map(str, problem.path)
    where = f"{section.removesuffix('s')} {name}" + (f", {rest[0].replace('_', ' ')}" if rest else "")
    return f"{where}: {problem.message}"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".") if text else ""


def stamp_of(entry: Mapping[str, Any]) -> str:
    return stamp(entry)
