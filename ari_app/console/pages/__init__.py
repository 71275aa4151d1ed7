"""All pages, by subject. To add one: a module here with `routes` (and NAVIGATION), a line below, and templates."""

from collections.abc import Sequence

from ari_app.console.access import NavItem, Page, Table
from ari_app.console.pages import (
    account,
    agents,
    audit,
    call_status,
    channel_meta,
    channel_settings,
    channel_voice,
    channels,
    charts,
    desk,
    groups,
    hours,
    ivr,
    live,
    messages,
    money,
    prompts,
    reconciliation,
    record,
    records,
    sign_in,
    start,
    tokens,
    users,
    webhooks,
    wrap_up,
)

#: The order is that of the navigation.
SUBJECTS = (
    start,
    sign_in,
    account,
    call_status,
    live,
    desk,
    records,
    record,
    charts,
    messages,
    reconciliation,
    channels,
    channel_meta,
    channel_settings,
    channel_voice,
    agents,
    groups,
    ivr,
    hours,
    prompts,
    money,
    wrap_up,
    users,
    audit,
    tokens,
    webhooks,
)


def table() -> Table:
    pages: list[Page] = []
    navigation: list[NavItem] = []
    for subject in SUBJECTS:
        pages += subject.routes
        items: Sequence[NavItem] = getattr(subject, "NAVIGATION", ())
        navigation += items
    return Table(pages, navigation)
