"""What is not a subject: the first page, style and script, and whether the console is there."""

from aiohttp import web

from ari_app.console.access import EVERYBODY, PUBLIC, Routes
from ari_app.console.keys import ASSETS, STORES, TABLE
from ari_app.console.responses import see_other
from ari_app.console.session import user_of

routes = Routes()

_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


@routes.get("/", roles=EVERYBODY)
async def first(request: web.Request) -> web.StreamResponse:
    return see_other(request, request.app[TABLE].home(user_of(request).role))


@routes.get("/static/{version}/{name}", roles=PUBLIC)
async def static(request: web.Request) -> web.StreamResponse:
    """By name alone, out of memory: no path of a request ever reaches the file system."""
    assets = request.app[ASSETS]
    asset = assets.find(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    lasting = request.match_info["version"] == assets.version
    return web.Response(
        body=asset.content, content_type=asset.content_type, charset="utf-8", headers=_FOR_EVER if lasting else None
    )


@routes.get("/ready", roles=PUBLIC)
async def ready(request: web.Request) -> web.StreamResponse:
    """For supervision: 200 while PostgreSQL answers, else 503."""
    async with request.app[STORES].database.connection() as connection:
        await connection.fetchval("SELECT 1")
    return web.json_response({"ready": True})
