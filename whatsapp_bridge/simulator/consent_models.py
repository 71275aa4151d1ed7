"""What the control API takes about permissions, messages and settings, as pydantic models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .models import Model, Number


class Advance(Model):
    """Meta's clock is put forward."""

    seconds: float = Field(ge=-10_000_000, le=100_000_000)


class Grant(Model):
    """A permission is as it is said, and no word of it reaches the business."""

    user: Number
    number: str | None = Field(default=None, description="phone_number_id or display number; default: the first")
    status: Literal["none", "temporary", "permanent", "always"]
    seconds: float = Field(default=604_800, description="left of a temporary permission")


class Answer(Model):
    """A user acts on permissions by hand."""

    user: Number
    number: str | None = None
    response: Literal["accept", "accept_permanent", "decline"]
    to: Literal["request", "profile"] = Field(
        default="request", description="the user's newest open request, or the business's profile"
    )
    message_id: str | None = Field(default=None, description="an older request")
    expiration_as: Literal["string", "integer"] = "string"
    omit_type: bool = Field(default=False, description="no messages[].type, as in some published fragments")


class CustomerMessage(Model):
    """A user writes to the business."""

    user: Number
    number: str | None = None
    text: str = Field(default="Hello", min_length=1, max_length=4096)


class SettingsChange(Model):
    """Somebody changes the settings elsewhere, say in WhatsApp Manager."""

    calling: dict[str, Any]
    tell: bool = Field(default=True, description="account_settings_update is posted")


class AccountUpdate(Model):
    """Meta restricts a number, or warns of it."""

    restriction: str | None = Field(default=None, description="RESTRICTED_BUSINESS_INITIATED_CALLING, …")
    violation: str | None = Field(default=None, description="USER_INITIATED_CALLS_LOW_PICKUP_RATE, …")
    seconds: int | None = Field(default=604_800, description="the restriction lasts so long; null: no end is named")
    reason: str = "too much negative feedback"
    remediation: str | None = None
    tell: bool = Field(default=True, description="account_update is posted")
