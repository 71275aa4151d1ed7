"""Prompts in a configuration file: some are there, some are to be made of a text or of a sound file."""

from pathlib import Path
from typing import Protocol

from ari_app.store.configuration.faults import did_you_mean, quoted
from ari_app.store.configuration.models import PromptEntry
from ari_app.store.configuration.reading import Reading
from ari_app.store.configuration.tables import Key, Row
from ari_app.store.prompts import Prompt


class CannotMake(Exception):
    """A prompt cannot be made; the message says why."""


class PromptMaker(Protocol):
    """Makes sounds, and leaves the catalogue alone. Raises CannotMake."""

    async def speak(self, name: str, text: str) -> Prompt: ...

    async def load(self, name: str, file: Path) -> Prompt: ...


def check_catalogue(reading: Reading, names: set[str]) -> None:
    """A prompt without text or file must be in the catalogue, which has these names."""
    for name, prompt in reading.document.prompts.items():
        if _is_there(prompt) and name not in names and ("prompts", name) not in reading.faulty:
            message = f"the catalogue has no prompt {quoted(name)}{did_you_mean(name, names)}; give it a text or a file"
            reading.complain(message, "prompts", name, key=True)


async def make(reading: Reading, catalogue: dict[Key, Row], maker: PromptMaker | None, folder: Path) -> dict[Key, Row]:
    """The catalogue as the file wants it; what is to be made anew is made. Complains of what cannot be made.

    `folder` is where the files are that it names.
    """
    wanted: dict[Key, Row] = {}
    for name, prompt in reading.document.prompts.items():
        known = catalogue.get((name,))
        if known is not None and (_is_there(prompt) or prompt.text == known["spoken_text"] is not None):
            wanted[name,] = known
        elif maker is None:
            message = "prompts can be made only with --config, which knows their folder"
            reading.complain(message, "prompts", name, key=True)
        else:
            try:
                made = _row(await _make(prompt, name, maker, folder))
            except CannotMake as error:
                reading.complain(str(error), "prompts", name, "file" if prompt.text is None else "text")
                continue
            same = known is not None and all(known[column] == made[column] for column in ("sha256", "spoken_text"))
            wanted[name,] = known if known is not None and same else made
    return wanted


def _is_there(prompt: PromptEntry) -> bool:
    return prompt.text is None and prompt.file is None


async def _make(prompt: PromptEntry, name: str, maker: PromptMaker, folder: Path) -> Prompt:
    if prompt.text is not None:
        return await maker.speak(name, prompt.text)
    return await maker.load(name, folder / str(prompt.file))


def _row(made: Prompt) -> Row:
    return {
        "name": made.name,
        "file": made.file,
        "seconds": round(max(made.seconds, 0.01), 2),
        "spoken_text": made.spoken_text,
        "sha256": made.sha256,
    }
