"""The agent desk: one's state, the call, the conversation with a customer; calling, inviting, noting down."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web

from ari_app.calls.called import country_of
from ari_app.calls.refusal import Refusal
from ari_app.console.access import AGENTS, NavItem, Routes
from ari_app.console.following import Drawn, Part, follow, redrawn
from ari_app.console.guard import form_of
from ari_app.console.keys import FOLDERS, STORES
from ari_app.console.live import Fact, Update
from ari_app.console.pages.call_status import Words, call_status, stands
from ari_app.console.reaching import Reach
from ari_app.console.rendering import telephone
from ari_app.console.responses import fragment, page, see_other
from ari_app.console.session import actor_of, user_of
from ari_app.store.console.choices import ChoiceStore
from ari_app.store.console.conversation import ConversationStore, PastCall, Reader
from ari_app.store.console.desk import DeskState, DeskStore
from ari_app.store.console.notes import NoteRefused, NoteStore
from ari_app.store.console.users import Role, User

routes = Routes()
NAVIGATION = (NavItem("Work", "Agent desk", "/desk", "desk"),)

LONGEST_KEY = 128

DONE = {
    "login": "You take calls now.",
    "logout": "You are logged out: no call comes to you.",
    "pause": "You are paused.",
    "resume": "You take calls again.",
}


@dataclass(frozen=True)
class Parts:
    """The live parts of the desk, and what they are made of."""

    html: dict[str, str]
    state: DeskState | None


@routes.get("/desk", roles=AGENTS)
async def show(request: web.Request) -> web.StreamResponse:
    return await _page(request, _key(request.query.get("user", "")))


@routes.get("/desk/events", roles=AGENTS)
async def events(request: web.Request) -> web.StreamResponse:
    return await follow(request, *call_status(request), _desk(request, _key(request.query.get("user", ""))))


@routes.post("/desk/state", roles=AGENTS)
async def set_state(request: web.Request) -> web.StreamResponse:
    """Log in, log out, pause for a reason, take calls again."""
    form = form_of(request)
    what, _, reason = form.text("what").partition(":")
    agent = _agent(request)
    reasons = request.app[FOLDERS].pause_reasons.values()
    if what not in DONE or (what == "pause" and reason not in reasons):
        raise web.HTTPBadRequest(text="there is no such state")
    done = await _store(request).set(agent, what, actor_of(request), reason or None)
    return see_other(request, _address(form.text("user")), DONE[what] if done else "You may not take calls.")


@routes.post("/desk/call-back", roles=AGENTS)
async def set_call_back(request: web.Request) -> web.StreamResponse:
    form = form_of(request)
    await _store(request).set_call_back(_agent(request), form.text("wanted") == "on", actor_of(request))
    return see_other(request, _address(form.text("user")))


@routes.post("/desk/call", roles=AGENTS)
async def call(request: web.Request) -> web.StreamResponse:
    """The agent's phone rings; picked up, it calls the user."""
    return await _reach(request, "call", "Your phone rings: pick it up to call.")


@routes.post("/desk/invite", roles=AGENTS)
async def invite(request: web.Request) -> web.StreamResponse:
    """The user is asked to allow calls."""
    return await _reach(request, "invite", "The invitation is on its way. If it is accepted, your phone rings.")


@routes.post("/desk/notes", roles=AGENTS)
async def write_note(request: web.Request) -> web.StreamResponse:
    form, user = form_of(request), user_of(request)
    stores = request.app[STORES]
    try:
        about = UUID(form.text("call"))
    except ValueError:
        raise web.HTTPBadRequest(text="there is no such call") from None
    if not await ConversationStore(stores.database).may_see(about, reader_of(user)):
        raise web.HTTPNotFound
    note, key = form.text("note").replace("\0", ""), _key(form.text("user"))
    try:
        await NoteStore(stores.database).write(about, note, form.text("code") or None, user.name)
    except NoteRefused as refusal:
        return await _page(request, key, status=422, refusal=str(refusal))
    return see_other(request, _address(key), "The note is saved.")


def reader_of(user: User) -> Reader:
    """Administrators see all, supervisors their groups and their own, agents their own."""
    match user.role:
        case Role.ADMINISTRATOR:
            return Reader(None, None)
        case Role.SUPERVISOR:
            return Reader(user.agent_id, user.groups)
    return Reader(user.agent_id, None if user.agent_id is not None else ())


async def _reach(request: web.Request, how: str, done: str) -> web.StreamResponse:
    form, user = form_of(request), user_of(request)
    typed, named, agent = form.text("to")[:LONGEST_KEY], form.text("number") or None, _agent(request)
    reach = Reach(request.app[STORES].database, request.app[FOLDERS])
    wanted = await (reach.call if how == "call" else reach.invite)(agent, typed, named, user.name)
    if isinstance(wanted, Refusal):
        key = _key(await reach.user_key(agent, typed))
        words = f"{wanted.reason[:1].upper()}{wanted.reason[1:]}."
        return await _page(request, key, status=422, refusal=words, typed=typed)
    return see_other(request, _address(wanted.user_key), done)


async def _page(
    request: web.Request, key: str, *, status: int = 200, refusal: str = "", typed: str = ""
) -> web.Response:
    parts = await _parts(request, key)
    numbers = await ChoiceStore(request.app[STORES].database).numbers()
    return page(
        request,
        "desk/index.html",
        status=status,
        parts=parts.html,
        has_phone=parts.state is not None,
        about=key,
        refusal=refusal,
        typed=typed,
        number_options=[("", "my group's number"), *_numbers(numbers)],
    )


def _numbers(numbers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(number, f"{name} ({telephone(number)})" if name else telephone(number)) for number, name in numbers]


def _desk(request: web.Request, key: str) -> Part:
    words = Words()

    async def draw() -> Drawn:
        parts = await _parts(request, key)
        if parts.state is not None:
            words.of(parts.state)
        seconds = parts.state.changes_in if parts.state is not None else None
        return Drawn([Update(target, html) for target, html in parts.html.items()], seconds)

    def concerns(fact: Fact) -> bool:
        return words.concern(fact) or fact.text == f"customer:{key}" or fact.text.endswith(f":{key}")

    return redrawn(request, concerns, draw)


async def _parts(request: web.Request, key: str) -> Parts:
    user, database = user_of(request), request.app[STORES].database
    state = await DeskStore(database).state(user.agent_id) if user.agent_id is not None else None
    conversation = ConversationStore(database)
    html: dict[str, str] = {}
    if state is not None:
        noted, reasons = state.noted, request.app[FOLDERS].pause_reasons.values()
        codes = await NoteStore(database).codes_for(noted.id) if noted else []
        if noted is not None and noted.code is not None and noted.code not in codes:
            codes.append(noted.code)
        html |= {
            "desk-state": _draw(request, "state", desk=state, standing=stands(state), reasons=reasons),
            "desk-call": _draw(request, "call", desk=state),
            "desk-note": _draw(request, "note", call=noted, code_options=[(code, code) for code in codes], about=key),
            "desk-recent": _draw(request, "recent", contacts=await conversation.recent(state.agent.id), about=key),
        }
    if key:
        html["desk-conversation"] = _draw(request, "conversation", **await _conversation(conversation, key, user))
    return Parts(html, state)


async def _conversation(store: ConversationStore, key: str, user: User) -> dict[str, Any]:
    steps = await store.steps(key, reader_of(user))
    now = datetime.now(UTC)
    names = [step.caller_name for step in steps if isinstance(step, PastCall) and step.caller_name]
    permissions = await store.permissions(key)
    return {
        "key": key,
        "name": names[0] if names else "",
        "country": country_of(key) if key.isdigit() else None,
        "steps": steps,
        "permissions": [(one.holds(now), one.remaining(now), one.status) for one in permissions.values()],
        "has_phone": user.agent_id is not None,
    }


def _draw(request: web.Request, part: str, /, **context: Any) -> str:
    return fragment(request, f"desk/{part}.html", **context)


def _store(request: web.Request) -> DeskStore:
    return DeskStore(request.app[STORES].database)


def _agent(request: web.Request) -> UUID:
    agent = user_of(request).agent_id
    if agent is None:
        raise web.HTTPBadRequest(text="no phone is yours: let an administrator link you with an agent")
    return agent


def _key(text: str) -> str:
    """A user as in the records: digits without +, or Meta's id."""
    text = text.strip().removeprefix("+")[:LONGEST_KEY]
    return text if text.isascii() and text.isprintable() else ""


def _address(key: str) -> str:
    key = _key(key)
    return f"/desk?{urlencode({'user': key})}" if key else "/desk"
