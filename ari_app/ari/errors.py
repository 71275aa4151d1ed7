"""What can go wrong with ARI.

AriError
├── AriClosed               the client was closed, or was never opened
├── AriReplaced             another process took our application over; we do not fight for it
├── AriUnavailable          Asterisk gave no answer: refused, cut, or not within the time limit
├── ChannelGone             the channel was destroyed while we waited for something else from it
└── AriHttpError            Asterisk answered, with a status of 400 or more
    ├── BadRequest          400
    ├── Unauthorized        401
    ├── Forbidden           403
    ├── NotFound            404  ordinary: the other side hung up first
    ├── Conflict            409  ordinary: not (or no longer) in a Stasis application; id taken
    ├── PreconditionFailed  412  the channel is in a state that does not allow this
    ├── Unprocessable       422  the thing exists but cannot be used so (channel not in this bridge, …)
    └── ServerError         5xx  "Allocation failed": among others, an endpoint that nobody has registered
"""


class AriError(Exception):
    """Root of everything this package raises on purpose."""


class AriClosed(AriError):
    """The client, or the subscription that was waited on, is closed."""


class AriReplaced(AriError):
    """Another websocket took over our Stasis application (`ApplicationReplaced`)."""


class AriUnavailable(AriError):
    """No answer from Asterisk. The request may or may not have been carried out."""

    def __init__(self, message: str, *, method: str = "", path: str = "") -> None:
        super().__init__(f"{method} {path}: {message}" if method else message)
        self.method = method
        self.path = path


class ChannelGone(AriError):
    """The channel was destroyed; `cause` is its Q.850 hangup cause (0 when nobody told us)."""

    def __init__(self, channel_id: str, cause: int, cause_text: str) -> None:
        super().__init__(f"channel {channel_id} is gone: {cause_text} (cause {cause})")
        self.channel_id = channel_id
        self.cause = cause
        self.cause_text = cause_text


class AriHttpError(AriError):
    """Asterisk refused a request. Carries the request; never its credentials."""

    def __init__(self, status: int, message: str, method: str, path: str) -> None:
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status
        self.message = message
        self.method = method
        self.path = path


class BadRequest(AriHttpError):
    """400"""


class Unauthorized(AriHttpError):
    """401: user name or password in `ari.conf` differ."""


class Forbidden(AriHttpError):
    """403: the ARI user is read-only, or not allowed to do this."""


class NotFound(AriHttpError):
    """404: the channel, bridge, playback, … does not exist (any more)."""


class Conflict(AriHttpError):
    """409"""


class PreconditionFailed(AriHttpError):
    """412"""


class Unprocessable(AriHttpError):
    """422"""


class ServerError(AriHttpError):
    """500 and above"""


_BY_STATUS: dict[int, type[AriHttpError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    422: Unprocessable,
}


def http_error(status: int, message: str, method: str, path: str) -> AriHttpError:
    """The error class for an HTTP status of 400 or more."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else AriHttpError)
    return kind(status, message, method, path)
