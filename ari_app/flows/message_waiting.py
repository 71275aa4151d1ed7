"""The lamp on phones that says that messages wait (MWI, RFC 3842), set through Asterisk.

Asterisk has a request for it, if it was built with res_mwi_external and res_ari_mailboxes, which exclude
app_voicemail; Debian's was not (22.10.1). There our extension in the dialplan does it
(asterisk/extensions_whatsapp_mwi.conf).
"""

import logging

from ari_app.ari import AriClient, AriError, AriHttpError, NotFound, channel_id
from ari_app.store.voicemails import Counts

logger = logging.getLogger(__name__)

EXTENSION = "Local/s@whatsapp-mwi/n"

#: The extension runs for some ms.
EXTENSION_SECONDS = 5


class MessageWaiting:
    """One for all mailboxes. Counts are told as often as one likes: phones hear of changes only."""

    def __init__(self, ari: AriClient) -> None:
        self._ari = ari
        self._complained = False

    async def tell(self, mailbox: str, counts: Counts) -> None:
        """`mailbox` is `name@context`, as in the endpoints' `mailboxes`. What fails is logged, not raised."""
        try:
            try:
                await self._ari.mailboxes.update(mailbox, old=counts.old, new=counts.new)
            except NotFound:
                await self._by_dialplan(mailbox, counts)
        except AriHttpError as error:
            if not self._complained:
                self._complained = True
                logger.error(
                    "phones cannot be told of messages: %s. Load res_ari_mailboxes and res_mwi_external, or "
                    "app_minivm and include extensions_whatsapp_mwi.conf in extensions.conf",
                    error,
                )
        except AriError as error:
            logger.warning("phones are not told of messages in %s: %s", mailbox, error)
        else:
            self._complained = False

    async def _by_dialplan(self, mailbox: str, counts: Counts) -> None:
        """A call to an extension that does not answer; both its ends are gone when it has done its work."""
        variables = {
            "__WHATSAPP_MAILBOX": mailbox,
            "__WHATSAPP_NEW": str(counts.new),
            "__WHATSAPP_OLD": str(counts.old),
        }
        channel = await self._ari.channels.originate(
            endpoint=EXTENSION,
            channel_id=channel_id(),
            other_channel_id=channel_id(),
            timeout=EXTENSION_SECONDS,
            variables=variables,
        )
        channel.close()
