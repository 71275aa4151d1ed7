"""What Meta reports of a number besides its calls: permissions, messages that failed, settings, restrictions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class PermissionReply:
    """A user, or Meta in the user's name, allows or forbids calls. Source: Meta, "User call permissions"."""

    phone_number_id: str
    message_id: str
    number: str | None
    "The user's, digits; None for users who hide it."
    scoped_id: str | None
    accepted: bool
    permanent: bool
    expires_at: datetime | None
    "End of a temporary permission, if Meta named it."
    context_id: str | None
    "The request that is answered (wamid) or the user's call (wacid); None: the profile, or Meta's own decision."
    automatic: bool
    at: datetime
    "Meta's time, whole seconds."


@dataclass(frozen=True)
class MessageFailed:
    """A message was taken and could not be delivered. Only those about permissions are of interest."""

    phone_number_id: str
    message_id: str
    number: str | None
    code: int
    text: str


@dataclass(frozen=True)
class SettingsChanged:
    """Somebody changed the settings of a number at Meta; perhaps we."""

    phone_number_id: str
    calling: dict[str, Any]
    at: datetime


@dataclass(frozen=True)
class AccountNotice:
    """Meta warns of a number's quality, or restricts it."""

    phone_number_id: str
    kind: Literal["restriction", "violation"]
    type: str
    "In Meta's words: RESTRICTED_BUSINESS_INITIATED_CALLING, LOW_…"
    expires_at: datetime | None
    remediation: str
    at: datetime


NumberEvent = PermissionReply | MessageFailed | SettingsChanged | AccountNotice
