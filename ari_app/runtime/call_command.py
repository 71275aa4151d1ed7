"""`asterisk-whatsapp call` and `invite`: an agent is to call a WhatsApp user, a user is to allow calls.

Both only write down what is wanted; the application and the bridge do it.
"""

import argparse
import asyncio
from contextlib import suppress
from uuid import UUID

from rich.console import Console
from rich.text import Text

from ari_app.calls.offer import Agent
from ari_app.calls.refusal import Refusal, Rule
from ari_app.config import Config
from ari_app.flows.clearance import Clearance, Errand
from ari_app.flows.consent import Consent
from ari_app.flows.entrance import now
from ari_app.flows.facts import Facts
from ari_app.runtime.database_option import add_config, with_database
from ari_app.runtime.errors import UnavailableError
from ari_app.store.billing import BillingStore
from ari_app.store.call_requests import CallRequestStore, Outcome
from ari_app.store.database import Database
from ari_app.store.listening import listen
from ari_app.store.outgoing import OutgoingStore
from ari_app.store.permissions import PermissionStore

#: Exit status: the call or the invitation does not go out, or the two did not talk (with --wait).
REFUSED = 3

#: A call is to be begun within so long, s; an application that is away does not ring an agent hours later.
BEGIN_SECONDS = 60.0

#: PostgreSQL tells when something becomes of the call; it is looked at so often all the same, s.
LOOK_SECONDS = 5.0


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    call = commands.add_parser("call", help="let an agent's phone ring, and call a WhatsApp user when it is answered")
    add_config(call)
    call.add_argument("--agent", required=True, help="extension, endpoint or name")
    _add_user(call)
    call.add_argument("--wait", action="store_true", help="until the call is over; exit status 3 if nobody talked")
    call.set_defaults(run=_call)

    invite = commands.add_parser("invite", help="ask a WhatsApp user to allow calls")
    add_config(invite)
    invite.add_argument("--agent", help="whose phone rings when the user accepts: extension, endpoint or name")
    _add_user(invite)
    invite.add_argument("--text", help="of the message, at most 1024 characters; the number's own if left out")
    invite.set_defaults(run=_invite)


def _add_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", required=True, help="the user: +4915112345678, or Meta's id of one who hides the number"
    )
    parser.add_argument("--number", help="business number that calls, digits; that of the agent's group if left out")


def _call(options: argparse.Namespace, console: Console) -> int:
    async def work(database: Database, config: Config) -> int:
        agent = await _agent(database, options.agent)
        clearance = _clearance(database, config)
        errand = await clearance.errand(agent, options.to, options.number)
        if refusal := await _refuse(clearance, errand):
            return _say(console, refusal)
        store = CallRequestStore(database)
        number = errand.business.number if options.number and errand.business is not None else None
        request = await store.add(
            agent.id,
            errand.called.user_key,
            number=number,
            origin="command",
            requested_by="command",
            seconds=BEGIN_SECONDS,
        )
        console.print(Text(f"{agent.name}'s phone is to ring, then {errand.called.shown}."), soft_wrap=True)
        if not options.wait:
            return 0
        outcome = await _outcome(database, store, request)
        return _end(console, outcome.status or outcome.state, outcome.reason)

    return with_database(options, work)


def _invite(options: argparse.Namespace, console: Console) -> int:
    if options.text is not None and len(options.text) > 1024:
        raise UnavailableError("The text has more than 1024 characters.")

    async def work(database: Database, config: Config) -> int:
        agent = await _agent(database, options.agent) if options.agent else None
        clearance = _clearance(database, config)
        errand = await clearance.errand(agent, options.to, options.number)
        if refusal := await _refuse(clearance, errand):
            return _say(console, refusal)
        assert errand.business is not None
        store = PermissionStore(database)
        permission = await store.find(errand.business.phone_number_id, errand.called.user_key)
        if left := permission.remaining(now()):
            console.print(Text(f"{errand.called.shown} allows calls already ({left})."), soft_wrap=True)
            return REFUSED
        consent = Consent(store, Facts(database), config.app.calling_out)
        result = await consent.invite(errand, errand.business, permission, text=options.text)
        if result.rule is not Rule.INVITED:
            return _say(console, result)
        console.print(Text(f"Invited: {result.reason}."), soft_wrap=True)
        return 0

    return with_database(options, work)


async def _outcome(database: Database, store: CallRequestStore, request: UUID) -> Outcome:
    """What has become of it, when that is settled."""
    changed = asyncio.Event()
    ear = asyncio.create_task(listen(database.dsn, ("pbx_facts",), lambda *_: changed.set(), changed.set))
    try:
        while True:
            changed.clear()
            if (outcome := await store.outcome(request)).is_over:
                return outcome
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await changed.wait()
    finally:
        ear.cancel()
        await asyncio.wait([ear])


def _clearance(database: Database, config: Config) -> Clearance:
    return Clearance(OutgoingStore(database), BillingStore(database), config.app)


async def _refuse(clearance: Clearance, errand: Errand) -> Refusal | None:
    if refusal := clearance.refuse(errand):
        return refusal
    paid = await clearance.pay(errand, None)
    return paid if isinstance(paid, Refusal) else None


async def _agent(database: Database, name: str) -> Agent:
    agent = await OutgoingStore(database).agent_called(name)
    if agent is None:
        raise UnavailableError(f"There is no agent {name}: give an extension, an endpoint or a name.")
    return agent


def _say(console: Console, refusal: Refusal) -> int:
    console.print(Text(f"Refused ({refusal.rule}): {refusal.reason}.", "red"), soft_wrap=True)
    return REFUSED


def _end(console: Console, what: str, why: str | None) -> int:
    answered = what == "Answered"
    words = f"{what[:1].upper()}{what[1:]}" + (f": {why}." if why else ".")
    console.print(Text(words, "" if answered else "red"), soft_wrap=True)
    return 0 if answered else REFUSED
