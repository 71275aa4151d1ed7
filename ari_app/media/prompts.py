"""Prompts of our own: from an uploaded file, or spoken from a text; in a folder that Asterisk can read.

Files are named after the prompt and its contents, never after what was uploaded. One that replaces another is
written beside it, so that a call that plays the old one plays it to its end.
"""

import asyncio
import hashlib
import io
import re
import shutil
import sys
import tempfile
import wave
from pathlib import Path
from typing import BinaryIO

from ari_app.media.child import ChildError, output
from ari_app.media.files import write_whole
from ari_app.store.prompts import Prompt, PromptStore

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
VOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,39}")

EXTENSION = ".wav16"

#: Limits of an upload.
LONGEST_MINUTES = 10
LARGEST_MEGABYTES = 50
#: For making a prompt of the longest file there may be, s; it takes some 5 s.
CONVERSION_SECONDS = 90.0

LONGEST_TEXT = 3000
SPEECH_SECONDS = 60.0
SPEECH_BYTES = 64 * 1024 * 1024


class PromptError(Exception):
    """No prompt could be made, or removed; the message says why, and what to do."""


class PromptFolder:
    """Makes sounds, and leaves the catalogue alone. All methods raise PromptError."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    async def add(self, name: str, file: BinaryIO) -> Prompt:
        """Make the prompt `name` of an open file: WAV, MP3, OGG or M4A."""
        _check_name(name)
        return await self._keep(name, await convert(file), None)

    async def speak(self, name: str, text: str, voice: str = "en") -> Prompt:
        """Make it of a text, by speech synthesis."""
        _check_name(name)
        spoken = await synthesise(text, voice)
        return await self._keep(name, await convert(io.BytesIO(spoken)), text)

    async def delete(self, file: str) -> None:
        """What the catalogue has as `file`. One that is elsewhere, or gone, is left."""
        path = Path(file + EXTENSION)
        if path.parent == self._path:
            try:
                await asyncio.to_thread(path.unlink, missing_ok=True)
            except OSError as error:
                raise PromptError(f"the file cannot be deleted: {error}") from error

    async def _keep(self, name: str, sound: bytes, text: str | None) -> Prompt:
        digest = hashlib.sha256(sound).hexdigest()
        stem = self._path / f"{name}-{digest[:16]}"
        try:
            await asyncio.to_thread(write_whole, stem.with_name(stem.name + EXTENSION), sound, mode=0o644)
        except OSError as error:
            raise PromptError(f"the prompts folder cannot be written: {error}") from error
        return Prompt(name, str(stem), _seconds(sound), text, digest)


class PromptLibrary:
    """The prompts folder and its catalogue. All methods raise PromptError, and StoreError."""

    def __init__(self, store: PromptStore, folder: PromptFolder) -> None:
        self._store = store
        self._folder = folder

    async def add(self, name: str, file: BinaryIO) -> Prompt:
        """As PromptFolder's; new, or in place of the old one."""
        return await self._catalogue(await self._folder.add(name, file))

    async def speak(self, name: str, text: str, voice: str = "en") -> Prompt:
        """As PromptFolder's; new, or in place of the old one."""
        return await self._catalogue(await self._folder.speak(name, text, voice))

    async def list(self) -> list[Prompt]:
        """By name."""
        return await self._store.all()

    async def remove(self, name: str) -> Prompt:
        """Take it out of catalogue and folder; refused while the configuration names it."""
        if uses := await self._store.uses(name):
            raise PromptError(f"prompt {name} is in use: {', '.join(uses)}. Choose another one there first.")
        prompt = await self._store.remove(name)
        if prompt is None:
            raise PromptError(f"there is no prompt {name}")
        await self._folder.delete(prompt.file)
        return prompt

    async def _catalogue(self, prompt: Prompt) -> Prompt:
        replaced = await self._store.save(prompt)
        if replaced is not None and replaced != prompt.file:
            await self._folder.delete(replaced)
        return prompt


async def convert(file: BinaryIO) -> bytes:
    """A sound file as Asterisk plays it best, loudness as Asterisk's own sounds. Raises PromptError.

    It happens in a process of its own (see `ari_app.media.convert`).
    """
    largest = LARGEST_MEGABYTES * 1024 * 1024
    command = [sys.executable, "-m", "ari_app.media.convert", str(LONGEST_MINUTES * 60)]
    with tempfile.TemporaryFile() as copy:
        await asyncio.to_thread(_copy, file, copy, largest)
        try:
            return await output(command, copy, timeout=CONVERSION_SECONDS, limit=LONGEST_MINUTES * 60 * 32_000 + 10_000)
        except ChildError as error:
            raise PromptError(f"the file cannot be used: {error}") from error


def _copy(file: BinaryIO, copy: BinaryIO, largest: int) -> None:
    """What is uploaded may be a pipe, and may change under us."""
    left = largest
    while part := file.read(1024 * 1024):
        left -= len(part)
        if left < 0:
            raise PromptError(f"the file cannot be used: it is larger than {LARGEST_MEGABYTES} MB")
        copy.write(part)
    copy.flush()
    copy.seek(0)


async def synthesise(text: str, voice: str) -> bytes:
    """A WAV file of espeak-ng, which is given the text on its standard input. Raises PromptError."""
    if not text.strip():
        raise PromptError("there is no text to speak")
    if len(text) > LONGEST_TEXT:
        raise PromptError(f"the text is longer than {LONGEST_TEXT} characters")
    if not VOICE.fullmatch(voice):
        raise PromptError(f"{voice!r} is no voice; `espeak-ng --voices` lists them")
    program = shutil.which("espeak-ng")
    if program is None:
        raise PromptError("espeak-ng is not installed: `apt install espeak-ng`, or upload a file instead")
    command = [program, "-b", "1", "-v", voice, "--stdin", "--stdout"]
    try:
        return await output(command, text.encode(errors="replace"), timeout=SPEECH_SECONDS, limit=SPEECH_BYTES)
    except ChildError as error:
        raise PromptError(f"espeak-ng cannot speak this: {error}") from error


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise PromptError(f"{name!r} is no name for a prompt: use a to z, 0 to 9, - and _, at most 64 of them")


def _seconds(sound: bytes) -> float:
    with wave.open(io.BytesIO(sound)) as file:
        return float(file.getnframes() / file.getframerate())
