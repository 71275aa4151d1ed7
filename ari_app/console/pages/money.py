"""Rates and balance: what outbound calls cost, how much money there is, and where it went."""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from aiohttp import web

from ari_app.calls.rates import EVERYWHERE, UNIT, Rate, shown
from ari_app.console.access import ADMINISTRATORS, NavItem, Routes
from ari_app.console.editing import sentence, tree_of
from ari_app.console.forms import Form
from ari_app.console.guard import form_of
from ari_app.console.keys import STORES
from ari_app.console.rendering import telephone
from ari_app.console.responses import page, see_other
from ari_app.console.session import actor_of, user_of
from ari_app.store.billing import BillingStore, Quoted
from ari_app.store.console.audit import Entry
from ari_app.store.database import StoreError, StoreUnavailable

routes = Routes()
NAVIGATION = (NavItem("Configuration", "Rates and balance", "/money", "money"),)

#: Lines of the ledger on a page.
LINES = 100
HIGHEST = Decimal(10) ** 11
_DESTINATION = re.compile(r"[A-Z]{2}|[0-9]{1,15}|\*")

Faults = dict[str, str]


@routes.get("/money", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.StreamResponse:
    return await _show(request)


@routes.post("/money/book", roles=ADMINISTRATORS)
async def book(request: web.Request) -> web.StreamResponse:
    """A top-up, or a correction. The ledger is the audit of money."""
    form, store, by = form_of(request), _store(request), user_of(request).login
    amount, note = _decimal(form.text("amount"), HIGHEST), form.text("note")
    if amount is None or amount == 0:
        return await _show(request, {"amount": "An amount, such as 50 or 12.50."}, form)
    if len(note) > 500 or not note.isprintable():
        return await _show(request, {"note": "One line of at most 500 characters."}, form)
    is_top_up = form.text("kind") != "correction"
    try:
        balance = await (store.top_up if is_top_up else store.correct)(amount, by, note or None)
    except StoreUnavailable:
        raise
    except StoreError as refusal:
        return await _show(request, {"amount": sentence(str(refusal))}, form)
    currency = (await store.state()).currency
    return see_other(request, "/money", f"The balance is {shown(balance, currency)}.")


@routes.post("/money/settings", roles=ADMINISTRATORS)
async def settings(request: web.Request) -> web.StreamResponse:
    form, store = form_of(request), _store(request)
    before = await store.state()
    wanted: dict[str, object] = {"enabled": form.flag("enabled"), "end_calls": form.flag("end_calls")}
    faults: Faults = {}
    for name, low, high in (("reserve_seconds", 6, 3600), ("warn_seconds", 0, 300)):
        text = form.text(name)
        if text.isascii() and text.isdigit() and len(text) < 6 and low <= int(text) <= high:
            wanted[name] = int(text)
        else:
            faults[name] = f"A whole number from {low} to {high}."
    currency = form.text("currency").upper()
    if re.fullmatch(r"[A-Z]{3}", currency):
        wanted["currency"] = currency
    else:
        faults["currency"] = "Three letters, such as USD."
    if not faults:
        try:
            await store.configure(**wanted)
        except StoreUnavailable:
            raise
        except StoreError as refusal:
            faults["enabled"] = sentence(str(refusal))
    if faults:
        return await _show(request, faults, form)
    old = {name: getattr(before, name) for name in wanted}
    await request.app[STORES].audit.add(actor_of(request), *Entry.of_change("billing", "outbound calls", old, wanted))
    return see_other(request, "/money", "The settings are saved.")


@routes.post("/money/rates", roles=ADMINISTRATORS)
async def set_rate(request: web.Request) -> web.StreamResponse:
    """Counts from now on. The rates of a number are its quotation."""
    form, store = form_of(request), _store(request)
    price, destination = _decimal(form.text("price"), Decimal(100_000)), form.text("destination").upper() or EVERYWHERE
    faults: Faults = {}
    if price is None or price < 0:
        faults["price"] = "A price of a minute, such as 0.0103."
    if not _DESTINATION.fullmatch(destination):
        faults["destination"] = "A country such as DE, digits such as 4915, or * for everywhere."
    pulses = {}
    for name in ("first", "next"):
        text = form.text(name) or "6"
        if text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= 600:
            pulses[name] = int(text)
        else:
            faults[name] = "1 to 600 seconds."
    number = form.text("number")
    if number not in (await tree_of(request))["numbers"]:
        faults["number"] = "There is no such number."
    if faults or price is None:
        return await _show(request, faults, form)
    currency = (await store.state()).currency
    rate = Rate(destination, price, currency, datetime.now(UTC), pulses["first"], pulses["next"])
    await store.set_rates([Quoted(number, rate)])
    after = {"destination": destination, "price per minute": shown(price, currency), "pulses": list(pulses.values())}
    await request.app[STORES].audit.add(actor_of(request), Entry("added", "rate", number, None, after))
    where = "everywhere" if destination == EVERYWHERE else destination
    return see_other(
        request, "/money", f"Calls of {telephone(number)} to {where} cost {shown(price, currency)} a minute."
    )


def _store(request: web.Request) -> BillingStore:
    return BillingStore(request.app[STORES].database)


def _decimal(text: str, highest: Decimal) -> Decimal | None:
    """None for what is no amount of money, or has more decimals than money has here."""
    try:
        amount = Decimal(text[:40])
    except InvalidOperation:
        return None
    if not amount.is_finite() or abs(amount) >= highest or amount != amount.quantize(UNIT):
        return None
    return amount


async def _show(request: web.Request, faults: Faults | None = None, form: Form | None = None) -> web.Response:
    store = _store(request)
    state, rates, ledger = await store.state(), await store.rates(), await store.ledger(LINES)
    tree = await tree_of(request)
    numbers = [number for number, entry in tree["numbers"].items() if entry.get("phone_number_id")]
    return page(
        request,
        "money/index.html",
        status=422 if faults else 200,
        billing=state,
        rates=rates,
        ledger=list(reversed(ledger)),
        numbers=[(number, telephone(number)) for number in numbers],
        quoted={item.number for item in rates if item.rate.currency == state.currency},
        money=shown,
        everywhere=EVERYWHERE,
        invalid=faults or {},
        typed=dict(form.fields) if form else {},
    )
