"""Forms as they come: bounded, of text, with the files of an upload in temporary files."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, Self

from aiohttp import BodyPartReader, web
from multidict import MultiDict

#: Of one field of an upload's form, bytes, and of how many.
FIELD_BYTES = 16 * 1024
FIELDS = 200

_IN_MEMORY = 1024 * 1024


class TooLarge(Exception):
    """More was sent than is taken; the message says how much that is."""


@dataclass
class Upload:
    """A file of a form, rewound. What the browser calls it is not kept: nothing may depend on it."""

    file: BinaryIO
    size: int


@dataclass
class Form:
    """Close it (`with`) to get rid of the files."""

    fields: MultiDict[str]
    files: dict[str, Upload] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def text(self, name: str) -> str:
        """Without blanks around it; "" when it is not there."""
        return self.fields.get(name, "").strip()

    def raw(self, name: str) -> str:
        """As it was typed: passwords."""
        return self.fields.get(name, "")

    def all(self, name: str) -> list[str]:
        return [value.strip() for value in self.fields.getall(name, [])]

    def flag(self, name: str) -> bool:
        return name in self.fields

    def rows(self, *names: str) -> Iterator[dict[str, str]]:
        """Repeated fields as rows, in their order; rows in which nothing is filled in are left out."""
        columns = [self.all(name) for name in names]
        for number in range(max(map(len, columns), default=0)):
            values = [column[number] if number < len(column) else "" for column in columns]
            if any(values):
                yield dict(zip(names, values, strict=True))


def clean(text: str) -> str:
    """Without what PostgreSQL has no text for: NUL, and halves of characters."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


async def read_form(request: web.Request, largest: int) -> Form:
    """Raises TooLarge. Of a form that is not multipart only text is taken."""
    if request.content_type.startswith("multipart/"):
        return await _read_multipart(request, largest)
    if request.content_length is not None and request.content_length > largest:
        raise TooLarge(_in_words(largest))
    try:
        posted = await request.post()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(_in_words(largest)) from None
    except (LookupError, ValueError) as error:  # a charset that there is not
        raise web.HTTPBadRequest(text="this form is broken") from error
    return Form(MultiDict((name, clean(value)) for name, value in posted.items() if isinstance(value, str)))


async def _read_multipart(request: web.Request, largest: int) -> Form:
    """Part by part, never more in memory than one piece."""
    form = Form(MultiDict())
    left = largest
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None or len(form.fields) >= FIELDS:
                raise web.HTTPBadRequest(text="this form is not one of ours")
            if part.filename is None:
                form.fields.add(part.name, await _text(part))
            else:
                left -= (upload := await _keep(form, part, left, largest)).size
                if upload.size:
                    form.files[part.name] = upload
    except (ValueError, AssertionError) as error:  # what aiohttp says of parts that are none
        form.__exit__()
        raise web.HTTPBadRequest(text="this form is broken") from error
    except BaseException:
        form.__exit__()
        raise
    return form


async def _text(part: BodyPartReader) -> str:
    content = b""
    while piece := await part.read_chunk():
        content += piece
        if len(content) > FIELD_BYTES:
            raise TooLarge(_in_words(FIELD_BYTES))
    return clean(content.decode(errors="replace"))


async def _keep(form: Form, part: BodyPartReader, left: int, largest: int) -> Upload:
    file = form._open.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - closed with the form
    size = 0
    while piece := await part.read_chunk(65_536):
        size += len(piece)
        if size > left:
            raise TooLarge(_in_words(largest))
        file.write(piece)
    file.seek(0)
    return Upload(file, size)  # type: ignore[arg-type]


def _in_words(largest: int) -> str:
    if largest >= 1024 * 1024:
        return f"more than {largest // (1024 * 1024)} MB"
    return f"more than {largest // 1024} kB"
