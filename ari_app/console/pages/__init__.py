"""All pages, by subject. To add one: a module here with `routes` (and NAVIGATION), a line below, and templates."""

from collections.abc import Sequence

from ari_app.console.access import NavItem, Page, Table
from ari_app.console.pages import (
    account,
    agents,
    audit,
    channel_meta,
    channel_settings,
    channel_voice,
    channels,
    groups,
    hours,
    ivr,
    money,
    prompts,
    sign_in,
    start,
    users,
)

#: The order is that of the navigation.
SUBJECTS = (
    start,
    sign_in,
    account,
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
    users,
    audit,
)


def table() -> Table:
    pages: list[Page] = []
    navigation: list[NavItem] = []
    for subject in SUBJECTS:
        pages += subject.routes
        items: Sequence[NavItem] = getattr(subject, "NAVIGATION", ())
        navigation += items
    return Table(pages, navigation)
