"""Ids that we choose ourselves, so that we can listen before we ask."""

import itertools
import time
import uuid

_sequence = itertools.count(1)


def channel_id() -> str:
    """A new channel id, `<uuid4 hex>-<unix seconds>.<n>`.

    Never use one twice. Asterisk 22.10.1 answers 409 to a Local channel with an id that is taken, but cannot
    be stopped any more after that, and it crashes on a WebSocket channel with such an id (both measured).

    It ends as Asterisk's own ids do (`main/channel_internal_api.c`), so that whatever sorts channels or
    linkedids by age reads ours as well.
    """
    return f"{uuid.uuid4().hex}-{int(time.time())}.{next(_sequence)}"


def object_id() -> str:
    """A new id for a bridge or playback."""
    return str(uuid.uuid4())
