"""The call status at the top right of every page, for those who are agents."""

from aiohttp import web

from ari_app.console.access import AGENTS, Routes
from ari_app.console.following import Drawn, Part, follow, redrawn
from ari_app.console.keys import STORES
from ari_app.console.live import Fact, Update
from ari_app.console.responses import fragment
from ari_app.console.session import user_of
from ari_app.store.console.board import LiveAgent, Standing, standing
from ari_app.store.console.desk import DeskState, DeskStore

routes = Routes()

GONE_SECONDS = 60.0


@routes.get("/events", roles=AGENTS)
async def events(request: web.Request) -> web.StreamResponse:
    """What every page follows that follows nothing else. 204: there is nothing to come, ever (WHATWG HTML, 9.2)."""
    if user_of(request).agent_id is None:
        return web.Response(status=204)
    return await follow(request, *call_status(request))


def call_status(request: web.Request) -> tuple[Part, ...]:
    """The status as a part of a page's stream; none for those who are no agents."""
    user = user_of(request)
    agent = user.agent_id
    if agent is None:
        return ()
    store = DeskStore(request.app[STORES].database)
    words = Words()

    async def draw() -> Drawn:
        if (state := await store.state(agent)) is None:
            return Drawn([Update("call-status", "")], GONE_SECONDS)
        words.of(state)
        html = fragment(request, "desk/status.html", desk=state, standing=stands(state))
        return Drawn([Update("call-status", html)], state.changes_in)

    return (redrawn(request, words.concern, draw),)


def stands(desk: DeskState) -> Standing:
    """How an agent stands."""
    if desk.ringing:
        return Standing.RINGING
    if desk.call is not None:
        return Standing.TALKING if desk.call.state == "connected" else Standing.CALLING
    agent = desk.agent
    fields = {name: getattr(agent, name) for name in LiveAgent.__dataclass_fields__}
    return standing(LiveAgent(**fields), None, agent.at)[0]


class Words:
    """Which of PostgreSQL's words are about a desk."""

    def __init__(self) -> None:
        self._words: frozenset[str] = frozenset()
        self._calls: tuple[str, ...] = ()

    def of(self, state: DeskState) -> None:
        agent = state.agent
        calls = [call.id for call in (*state.ringing, state.call) if call is not None]
        self._words = frozenset((f"agent:{agent.id}", f"desk:{agent.id}", f"device:{agent.endpoint}"))
        self._calls = tuple(f"call:{call}:" for call in calls)

    def concern(self, fact: Fact) -> bool:
        return fact.text in self._words or fact.text.startswith(self._calls)
