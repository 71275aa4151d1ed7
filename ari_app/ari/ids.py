"""Ids that we choose ourselves, so that we can listen before we ask."""

import itertools
import time
import uuid

_sequence = itertools.count(1)


def channel_id() -> str:
    """A new channel id, `<uuid4 hex>-<unix seconds>.<n>`.

    It ends as Asterisk's own ids do (`main/channel_internal_api.c`), so that whatever sorts channels or
    linkedids by age reads ours as well.
    """
    return f"{uuid.uuid4().hex}-{int(time.time())}.{next(_sequence)}"


def object_id() -> str:
    """A new id for a bridge or playback."""
    return str(uuid.uuid4())
