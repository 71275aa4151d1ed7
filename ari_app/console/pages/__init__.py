"""All pages, by subject. To add one: a module here with `routes` (and NAVIGATION), a line below, and templates."""

from collections.abc import Sequence

from ari_app.console.access import NavItem, Page, Table
from ari_app.console.pages import account, audit, call_status, desk, live, sign_in, start, users, wrap_up

#: The order is that of the navigation.
SUBJECTS = (start, sign_in, account, call_status, live, desk, wrap_up, users, audit)


def table() -> Table:
    pages: list[Page] = []
    navigation: list[NavItem] = []
    for subject in SUBJECTS:
        pages += subject.routes
        items: Sequence[NavItem] = getattr(subject, "NAVIGATION", ())
        navigation += items
    return Table(pages, navigation)
