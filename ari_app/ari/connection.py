"""What every handle needs of the client that made it."""

from dataclasses import dataclass

from ari_app.ari.requests import Requests
from ari_app.ari.subscriptions import Router


@dataclass(frozen=True)
class Connection:
    requests: Requests
    router: Router
    app: str
