"""Prompts that an import makes: their sounds first, and their rows with everything else."""

import asyncio
from pathlib import Path

from ari_app.media.prompts import EXTENSION, PromptError, PromptFolder
from ari_app.store.configuration.prompts import CannotMake
from ari_app.store.prompts import Prompt


class FolderMaker:
    """Makes prompts in the prompts folder, and knows which ones it made."""

    def __init__(self, path: Path) -> None:
        self._folder = PromptFolder(path)
        self._found = {str(file.with_suffix("")) for file in path.absolute().glob(f"*{EXTENSION}")}
        self._made: set[str] = set()

    async def speak(self, name: str, text: str) -> Prompt:
        try:
            return self._keep(await self._folder.speak(name, text))
        except PromptError as error:
            raise CannotMake(str(error)) from error

    async def load(self, name: str, file: Path) -> Prompt:
        try:
            with await asyncio.to_thread(file.open, "rb") as opened:
                return self._keep(await self._folder.add(name, opened))
        except OSError as error:
            raise CannotMake(f"{file}: {error.strerror}") from error
        except PromptError as error:
            raise CannotMake(str(error)) from error

    async def give_up(self) -> None:
        """Nothing was imported: delete what was made for it, but not what was there before."""
        await self._delete(self._made - self._found)

    async def clear(self, named: frozenset[str], former: frozenset[str]) -> None:
        """Delete what was made, or the catalogue named before, and does not name now."""
        await self._delete((self._made | former) - named)

    def _keep(self, prompt: Prompt) -> Prompt:
        self._made.add(prompt.file)
        return prompt

    async def _delete(self, files: set[str]) -> None:
        for file in sorted(files):
            await self._folder.delete(file)
