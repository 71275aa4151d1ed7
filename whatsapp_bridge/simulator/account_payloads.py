"""Webhook values of the fields `account_settings_update` and `account_update`. Pure functions."""

from __future__ import annotations

from typing import Any

from .config import NumberConfig


def settings_update(number: NumberConfig, calling: dict[str, Any], at: int) -> dict[str, Any]:
    """Settings of a number were changed."""
    return {
        "messaging_product": "whatsapp",
        "timestamp": str(at),
        "type": "phone_number_settings",
        "phone_number_settings": {"phone_number_id": number.phone_number_id, "calling": dict(calling)},
    }


def restriction(number: NumberConfig, name: str, until: int | None, remediation: str | None) -> dict[str, Any]:
    """Meta restricts a number; `until` is unix seconds."""
    info: dict[str, Any] = {"restriction_type": name}
    if until is not None:
        info["expiration"] = until
    if remediation is not None:
        info["remediation"] = remediation
    return {"phone_number": number.display_number, "event": "ACCOUNT_RESTRICTION", "restriction_info": [info]}


def violation(number: NumberConfig, name: str, remediation: str | None) -> dict[str, Any]:
    """Meta warns of a number's quality."""
    info: dict[str, Any] = {"violation_type": name}
    if remediation is not None:
        info["remediation"] = remediation
    return {"phone_number": number.display_number, "event": "ACCOUNT_VIOLATION", "violation_info": info}
