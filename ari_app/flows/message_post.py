"""What happens to a message when its file is written: into the catalogue, to the phones' lamps, out by e-mail.

In the background, because no call waits for it, and because PostgreSQL and mail servers come back.
"""

import asyncio
import itertools
import logging
from pathlib import Path

from ari_app.ari import AriClient, AriError
from ari_app.ari.events import Reconnected
from ari_app.flows.message_mail import Mailer
from ari_app.flows.message_recovery import MessageRecovery
from ari_app.flows.message_spool import Spooled
from ari_app.flows.message_waiting import MessageWaiting
from ari_app.store.database import StoreError
from ari_app.store.voicemails import Voicemail, VoicemailStore

logger = logging.getLogger(__name__)

#: A message is tried to be catalogued so often, with such pauses, s. Its call may be recorded later than it.
ATTEMPTS = 60
PAUSE = 2.0

#: So often is looked for messages that were left in Asterisk's spool, s.
#: The second time sooner: at first, callers may be recorded still whom we are about to hang up.
LOOK_SECONDS = 60.0
FIRST_LOOK_SECONDS = 2.0

#: At the end, what is under way gets so long, s.
LAST_SECONDS = 3.0


class MessagePost:
    """Open it with `async with`, within the database's and the client's."""

    def __init__(self, store: VoicemailStore, ari: AriClient, folder: Path, mailer: Mailer | None) -> None:
        """`folder` has the messages' files."""
        self._store = store
        self._ari = ari
        self._waiting = MessageWaiting(ari)
        self._mailer = mailer
        self.in_hand: set[Spooled] = set()
        "Messages that this process is about, and that are still in Asterisk's spool."
        self._recovery = MessageRecovery(ari, store, folder, self.in_hand)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "MessagePost":
        self._listener = asyncio.create_task(self._keep_lamps_right(), name="message-waiting")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LAST_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def run(self) -> None:
        """Look for what a predecessor left, and send letters, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._mailer is not None:
                group.create_task(self._mailer.run(), name="letters")
            group.create_task(self._follow_changes(), name="lamps")
            for pause in itertools.chain((FIRST_LOOK_SECONDS,), itertools.repeat(LOOK_SECONDS)):
                for message in await self._recovery.look():
                    await self._tell(message)
                await asyncio.sleep(pause)

    def look_again(self) -> None:
        """Somebody else has changed messages, marked them as heard or deleted them: tell phones how many there are."""
        self._changed.set()

    def hand_over(self, message: Voicemail) -> None:
        """Take care of a message whose file is written."""
        task = asyncio.get_running_loop().create_task(self._deliver(message), name=f"message-{message.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, message: Voicemail) -> None:
        spooled = Spooled(message.id, message.call_id)
        try:
            if await self._catalogue(message):
                await self._tell(message)
                await self._forget(spooled)
        except asyncio.CancelledError:
            logger.error("message %s: stopped before all was done; it is in %s", message.id, message.file)
            raise
        except Exception:
            logger.exception("message %s, in %s: a fault of ours", message.id, message.file)
        finally:
            self.in_hand.discard(spooled)

    async def _tell(self, message: Voicemail) -> None:
        """Lamps and letters."""
        await self._light(message)
        if self._mailer is not None:
            self._mailer.wake()

    async def _forget(self, spooled: Spooled) -> None:
        """Asterisk need not keep its copy."""
        try:
            await self._ari.recordings.delete(spooled.name)
        except AriError as error:
            logger.warning("call %s: a copy of its message stays in Asterisk's spool: %s", spooled.call, error)

    async def _catalogue(self, message: Voicemail) -> bool:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE)
            try:
                await self._store.add(message)
            except StoreError as error:
                logger.warning("message %s is not catalogued yet: %s", message.id, error)
            else:
                return True
        logger.error("message %s of call %s is in no list; it is in %s", message.id, message.call_id, message.file)
        return False

    async def _light(self, message: Voicemail) -> None:
        if message.group is None:
            return
        try:
            mailbox = await self._store.mailbox(message.group)
            if mailbox is not None:
                await self._waiting.tell(mailbox, (await self._store.counts())[mailbox])
        except (StoreError, KeyError) as error:
            logger.warning("the lamps for group %s are not set: %s", message.group, error)

    async def _follow_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._tell_all()

    async def _keep_lamps_right(self) -> None:
        """Tell all counts at the start and after each reconnect, since an Asterisk that was restarted has
        forgotten them.
        """
        with self._ari.events(Reconnected) as events:
            await self._tell_all()
            try:
                async for _ in events:
                    await self._tell_all()
            except AriError as error:
                logger.debug("nothing more is told to phones: %s", error)

    async def _tell_all(self) -> None:
        try:
            counts = await self._store.counts()
        except StoreError as error:
            logger.warning("the lamps of phones are not set: %s", error)
            return
        for mailbox, messages in counts.items():
            await self._waiting.tell(mailbox, messages)
