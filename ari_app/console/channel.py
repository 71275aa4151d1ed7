"""One number's settings: what its tabs have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ari_app.console.editing import Saved, save, stamp_of, tree_of
from ari_app.console.rendering import telephone
from ari_app.console.responses import page
from ari_app.store.configuration.editing import Edit
from ari_app.store.configuration.tables import Tree

#: Address and name of each tab.
TABS = (
    ("incoming", "Incoming"),
    ("voice", "Voice"),
    ("hours", "Business hours"),
    ("calls", "Calls"),
    ("sip", "SIP targets"),
    ("meta", "State at Meta"),
)


@dataclass(frozen=True)
class Channel:
    number: str
    entry: Mapping[str, Any]
    tree: Tree

    @property
    def has_route(self) -> bool:
        return str(self.entry["incoming"]) != "none"

    @property
    def is_whatsapp(self) -> bool:
        return self.entry.get("phone_number_id") is not None

    def address(self, tab: str) -> str:
        return f"/channels/{self.number}/{tab}"


async def find(request: web.Request) -> Channel:
    number, tree = request.match_info["number"], await tree_of(request)
    entry = tree["numbers"].get(number)
    if entry is None:
        raise web.HTTPNotFound
    return Channel(number, entry, tree)


async def change(request: web.Request, channel: Channel, settings: Mapping[str, Any], stamp: str) -> Saved:
    """Set these, and leave the others; "" is the default."""
    entry = {name: value for name, value in {**channel.entry, **settings}.items() if value not in ("", None)}
    return await save(request, Edit("numbers", channel.number, entry, stamp))


def show(
    request: web.Request,
    channel: Channel,
    tab: str,
    saved: Saved | None = None,
    values: Mapping[str, Any] | None = None,
    stamp: str = "",
    **context: Any,
) -> web.Response:
    """The tab; `values` is what was typed, where it was not saved."""
    saved = saved or Saved()
    title = telephone(channel.number)
    return page(
        request,
        f"channels/{tab}.html",
        status=200 if saved.ok else 422,
        channel=channel,
        title=title,
        tabs=[(label, channel.address(name), name == tab, 0) for name, label in TABS if _is_there(channel, name)],
        address=channel.address(tab),
        values={**channel.entry, **(values or {})},
        invalid=saved.invalid,
        faults=saved.faults,
        stamp=stamp or stamp_of(channel.entry),
        **context,
    )


def _is_there(channel: Channel, tab: str) -> bool:
    """A number without a route has no settings, and one that is not on WhatsApp no state at Meta."""
    return channel.is_whatsapp if tab == "meta" else tab == "incoming" or channel.has_route
