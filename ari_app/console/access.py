"""Which page exists, and who may see it. A page without roles cannot be written down.

routes = Routes()

@routes.get("/audit", roles=ADMINISTRATORS)
async def index(request: web.Request) -> web.Response: ...

NAVIGATION = (NavItem("Administration", "Audit", "/audit", "audit"),)
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

from aiohttp import web

from ari_app.store.console.users import Role

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

EVERYBODY = frozenset(Role)
ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
SUPERVISORS = frozenset({Role.ADMINISTRATOR, Role.SUPERVISOR})
AGENTS = frozenset({Role.ADMINISTRATOR, Role.SUPERVISOR, Role.AGENT})
REPORTERS = frozenset({Role.ADMINISTRATOR, Role.SUPERVISOR, Role.REPORTING})

#: Without signing in.
PUBLIC: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class Page:
    """One method at one address."""

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    "Empty: public."
    largest: int
    "Most bytes of a request's body."

    @property
    def is_public(self) -> bool:
        return not self.roles


#: Forms are small; pages that take files say so.
FORM_BYTES = 256 * 1024


class Routes:
    """The pages of one subject."""

    def __init__(self) -> None:
        self._pages: list[Page] = []

    def __iter__(self) -> Iterator[Page]:
        return iter(self._pages)

    def get(self, path: str, *, roles: frozenset[Role]) -> Callable[[Handler], Handler]:
        return self._page("GET", path, roles, 0)

    def post(self, path: str, *, roles: frozenset[Role], largest: int = FORM_BYTES) -> Callable[[Handler], Handler]:
        """A form that changes something; its token was checked before the handler sees it."""
        return self._page("POST", path, roles, largest)

    def _page(self, method: str, path: str, roles: frozenset[Role], largest: int) -> Callable[[Handler], Handler]:
        def remember(handler: Handler) -> Handler:
            self._pages.append(Page(method, path, handler, roles, largest))
            return handler

        return remember


@dataclass(frozen=True)
class NavItem:
    """A line of the navigation. It is shown to those who may open its page."""

    section: str
    label: str
    path: str
    icon: str


class Table:
    """All pages, and the navigation that each role sees."""

    def __init__(self, pages: Iterable[Page], navigation: Iterable[NavItem]) -> None:
        self.pages = list(pages)
        self._navigation = list(navigation)
        self._roles = {page.path: page.roles for page in self.pages if page.method == "GET"}
        if missing := [item.path for item in self._navigation if item.path not in self._roles]:
            raise ValueError(f"the navigation leads to pages that are not there: {missing}")

    def navigation(self, role: Role) -> dict[str, list[NavItem]]:
        """Items by section, in the order in which they were written down."""
        sections: dict[str, list[NavItem]] = {}
        for item in self._navigation:
            if role in self._roles[item.path]:
                sections.setdefault(item.section, []).append(item)
        return sections

    def home(self, role: Role) -> str:
        """Where this role begins."""
        sections = self.navigation(role)
        return next((items[0].path for items in sections.values()), "/account")
