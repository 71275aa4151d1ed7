"""An Asterisk of our own: configuration rendered into the run folder, started, asked on its CLI, stopped."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from ari_app.runtime.debian import Closure
from ari_app.runtime.errors import ProcessError
from ari_app.runtime.ports import LOOPBACK, PortBlock
from ari_app.runtime.processes import Process
from ari_app.runtime.resources import resource_folder

PHONES = ("1001", "1002", "1003", "1004")
ARI_USER = "asterisk-whatsapp"
CLI_LIMIT = 10.0

RESOLVER = "no-aaaa timeout:1 attempts:1"
"""resolv.conf(5). res_pjsip asks DNS for this host's own name when it loads: 10 s if nobody answers."""

LEFT_AT_DEFAULTS = ("acl", "ccss", "cel", "chan_websocket", "features", "manager", "pjproject", "stasis", "udptl")
"""Files that Asterisk wants to find, or it logs an error; empty ones mean its defaults."""


def _password() -> str:
    return secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Phone:
    """An account that a SIP phone registers with; also its endpoint and its extension in the context `phones`."""

    name: str
    password: str = field(default_factory=_password, repr=False)


@dataclass(frozen=True)
class CdrDatabase:
    """Where cdr_pgsql writes: a database that has the table cdr.cdr."""

    port: int
    database: str
    role: str
    password: str = field(repr=False)
    host: str = LOOPBACK


@dataclass(frozen=True)
class AsteriskOptions:
    bridge_listen: str
    """host:port where the bridge takes websockets of outbound calls."""
    cdr: CdrDatabase | None = None
    """None: no call detail records."""
    extra_dialplan: str = ""
    """Appended to extensions.conf. If it has a [whatsapp-in], our extensions_whatsapp.conf is left out."""


class EmbeddedAsterisk:
    """One Asterisk in `folder`; every socket on loopback, every port from `ports`. May be stopped and started again."""

    def __init__(self, closure: Closure, folder: Path, logs: Path, ports: PortBlock, options: AsteriskOptions) -> None:
        self._closure = closure
        self._folder = folder
        self._options = options
        self.http_port = ports.take()
        self.sip_port = ports.take()
        self.phones = {name: Phone(name) for name in PHONES}
        self.ari_password = _password()
        self.log = logs / "asterisk.log"
        folder.mkdir(mode=0o700)
        for name in ("etc", "cache", "lib", "spool", "spool/recording", "run"):
            (folder / name).mkdir()
        self._render(logs, ports)
        self.process = Process(
            "Asterisk",
            [*closure.command("usr/sbin/asterisk"), "-f", "-C", str(folder / "etc/asterisk.conf")],
            logs / "asterisk.out",
            environment={"RES_OPTIONS": RESOLVER},
            folder=folder,
            notifies=True,
        )

    @property
    def ari_url(self) -> str:
        """Base address: {url}/ari/… for requests, {url}/media/… for media websockets."""
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def sip_address(self) -> str:
        """host:port, UDP and TCP."""
        return f"{LOOPBACK}:{self.sip_port}"

    async def start(self) -> None:
        """Start and wait until it is fully booted. Raises ProcessError."""
        await self.process.start()

    async def stop(self) -> None:
        await self.process.stop()

    async def cli(self, command: str) -> str:
        """What `asterisk -rx command` prints. Raises ProcessError if it does not answer."""
        remote = [*self._closure.command("usr/sbin/asterisk"), "-C", str(self._folder / "etc/asterisk.conf")]
        client = await asyncio.create_subprocess_exec(
            *remote, "-rx", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(CLI_LIMIT):
                output, _ = await client.communicate()
        except TimeoutError:
            raise ProcessError(f"Asterisk did not answer {command!r} within {CLI_LIMIT:.0f} s.") from None
        finally:
            if client.returncode is None:
                client.kill()
                await client.wait()
        text = output.decode(errors="replace")
        if client.returncode != 0:
            raise ProcessError(f"Asterisk's CLI refused {command!r}: {text.strip()}")
        return text

    def complaints(self) -> Sequence[str]:
        """Warnings and errors in its log so far."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if "] WARNING[" in line or "] ERROR[" in line]

    def _render(self, logs: Path, ports: PortBlock) -> None:
        options = self._options
        rtp_first, rtp_last = ports.rtp
        values = {
            "folder": self._folder,
            "logs": logs,
            "closure": {"modules": self._closure.asterisk_modules, "data": self._closure.asterisk_data},
            "entity_id": ":".join(f"{byte:02x}" for byte in (2, *secrets.token_bytes(5))),
            "http_port": self.http_port,
            "sip_port": self.sip_port,
            "rtp_first": rtp_first,
            "rtp_last": rtp_last,
            "phones": list(self.phones.values()),
            "ari": {"username": ARI_USER, "password": self.ari_password},
            "bridge": {"listen": options.bridge_listen},
            "postgres": options.cdr,
            "snippet": "[whatsapp-in]" not in options.extra_dialplan,
            "extra": bool(options.extra_dialplan),
        }
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(resource_folder("asterisk")),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701 - Asterisk's configuration, not HTML
            trim_blocks=True,
            keep_trailing_newline=True,
        )
        etc = self._folder / "etc"
        for name in environment.list_templates(filter_func=lambda name: name.endswith((".conf", ".conf.j2"))):
            if options.cdr is None and "cdr_pgsql" in name:
                continue
            target = etc / Path(name).name.removesuffix(".j2").replace("cdr_pgsql_whatsapp", "cdr_pgsql")
            template = environment.get_template(name) if name.endswith(".j2") else None
            source = resource_folder("asterisk") / name
            text = template.render(values) if template else source.read_text(encoding="utf-8")
            if options.cdr is None and target.name == "modules.conf":
                text = text.replace("load = cdr_pgsql.so\n", "")
            target.touch(mode=0o600)
            target.write_text(text, encoding="utf-8")
        for name in LEFT_AT_DEFAULTS:
            (etc / f"{name}.conf").touch()
        if options.extra_dialplan:
            (etc / "extensions_extra.conf").write_text(options.extra_dialplan, encoding="utf-8")
