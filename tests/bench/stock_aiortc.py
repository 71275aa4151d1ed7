"""The relay as aiortc's examples do it: answer with an RTCPeerConnection, decode, hand the track back, encode.

It takes the same webhooks and serves the same simulator as the bridge, and does less: nothing goes to Asterisk. So what
it costs is a lower bound of a relay built this way.
"""

import argparse
import asyncio
import os
import re
import socket
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import MediaStreamTrack

from whatsapp_bridge.config import Config


def for_meta(sdp: str) -> str:
    """One fingerprint and Opus only, as Meta wants it."""
    lines = [line for line in sdp.splitlines() if not re.match(r"a=fingerprint:sha-(384|512)", line)]
    refused = {m[1] for line in lines if (m := re.match(r"a=rtpmap:(\d+) (?!opus)", line))}
    kept = [
        line for line in lines if not ((m := re.match(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d+)", line)) and m[1] in refused)
    ]
    return "\r\n".join(re.sub(r"(m=audio \d+ \S+).*", r"\1 111", line) for line in kept) + "\r\n"


class StockBridge:
    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        self._meta, self._session = config.meta, session
        self._peers: dict[str, RTCPeerConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, request: web.Request) -> web.Response:
        for entry in (await request.json())["entry"]:
            for change in entry["changes"]:
                number = change["value"]["metadata"]["phone_number_id"]
                for call in change["value"].get("calls", []):
                    task = asyncio.create_task(self._handle(number, call))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        return web.Response(text="ok")

    async def _handle(self, number: str, call: dict[str, Any]) -> None:
        call_id = str(call["id"])
        if call["event"] == "terminate":
            if (ended := self._peers.pop(call_id, None)) is not None:
                await ended.close()
            return
        peer = self._peers[call_id] = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        relay = MediaRelay()

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            peer.addTrack(relay.subscribe(track))

        await peer.setRemoteDescription(RTCSessionDescription(call["session"]["sdp"], "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        answer = for_meta(peer.localDescription.sdp)
        for action in ("pre_accept", "accept"):
            async with self._session.post(
                f"{self._meta.graph_url}/{self._meta.api_version}/{number}/calls",
                headers={"Authorization": f"Bearer {self._meta.access_token.get_secret_value()}"},
                json={
                    "messaging_product": "whatsapp",
                    "call_id": call_id,
                    "action": action,
                    "session": {"sdp_type": "answer", "sdp": answer},
                },
            ) as reply:
                if reply.status != 200:
                    raise RuntimeError(f"{action}: {await reply.text()}")


async def main(config: Config) -> None:
    async with aiohttp.ClientSession() as session:
        app = web.Application()
        app.add_routes([web.post("/webhook", StockBridge(config, session).receive)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, config.bridge.host, config.bridge.port).start()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    uvloop.run(main(Config.load(parser.parse_args().config)))
