"""Everything that makes a call, on one machine: PostgreSQL, Asterisk, the Meta simulator, the bridge, the app.

async with Stack.start() as stack:
    print(stack.asterisk.ari_url, stack.simulator_url)
    await stack.app.stop()          # each piece is a process that can be stopped and started again
    await stack.app.start()
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import asyncpg

from ari_app.runtime.asterisk import ARI_USER, AsteriskOptions, CdrDatabase, EmbeddedAsterisk
from ari_app.runtime.console_login import ConsoleLogin, add_administrator
from ari_app.runtime.debian import Closure, ensure_closure
from ari_app.runtime.folder import RunFolder
from ari_app.runtime.ports import LOOPBACK, PortBlock
from ari_app.runtime.postgres import OWNER, EmbeddedPostgres
from ari_app.runtime.processes import Process, first_to_end
from ari_app.runtime.settings import (
    API_VERSION,
    BUSINESS_NUMBER,
    PHONE_NUMBER_ID,
    BusinessNumber,
    MetaSecrets,
    write_toml,
)
from ari_app.store.migrate import migrate

logger = logging.getLogger(__name__)

STASIS_APP = "asterisk-whatsapp"
BRIDGE_APP = "asterisk-whatsapp-bridge"
CDR_ROLE = "asterisk"
STATEMENT_LIMIT = 10.0


@dataclass(frozen=True)
class StackOptions:
    """What to run. Whatever is left out is still configured, and its port is still given."""

    app: bool = True
    bridge: bool = True
    simulator: bool = True
    console: bool = False
    """The web console, with the first administrator `admin`."""
    extra_dialplan: str = ""
    """Appended to extensions.conf. If it has a [whatsapp-in], our extensions_whatsapp.conf is left out."""
    agent_endpoint: str = "PJSIP/1001"
    """Whom calls to the business number ring; the agent is called "Agent" and the endpoint's number."""
    keep: bool = False
    """Leave the run folder, with logs and recordings, when the stack ends."""
    path: str = ""
    """The processes' $PATH; ours if empty. See `speaking`: the console speaks texts if it finds espeak-ng there."""


class Stack:
    """A running stack; get one from `Stack.start`."""

    def __init__(self, options: StackOptions, closure: Closure, folder: RunFolder, ports: PortBlock) -> None:
        self.options = options
        self.closure = closure
        self.folder = folder.path
        self.logs = folder.logs
        self.number = BusinessNumber(PHONE_NUMBER_ID, BUSINESS_NUMBER, "Demo business")
        self.secrets = MetaSecrets()
        self.recordings = self.folder / "recordings"
        self.recordings.mkdir()
        self.config = self.folder / "stack.toml"
        self.postgres = EmbeddedPostgres(self.folder / "postgres", ports.take(), self.logs / "postgres.log")
        self._bridge_listen = f"{LOOPBACK}:{ports.take()}"
        self._simulator_listen = f"{LOOPBACK}:{ports.take()}"
        self._console_listen = f"{LOOPBACK}:{ports.take()}"
        self.console_login = ConsoleLogin()
        self._ports = ports
        self._asterisk: EmbeddedAsterisk | None = None
        self.simulator = self._python("simulator", "whatsapp_bridge.simulator")
        self.bridge = self._python("bridge", "whatsapp_bridge")
        self.app = self._python("app", "ari_app")
        self.console = self._python("console", "ari_app.console")

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        options: StackOptions | None = None,
        closure: Closure | None = None,
        report: Callable[[str], object] = logger.info,
    ) -> AsyncIterator["Stack"]:
        """Run a stack until the block is left. Start it from the main thread: its processes end with the thread.

        `report` is told what happens, for people who wait.

        Raises UnavailableError (no Asterisk to be had, a process that does not start), MigrationError.
        """
        if closure is None:
            closure = await asyncio.to_thread(ensure_closure)
        with RunFolder(keep=bool(options and options.keep)) as folder, PortBlock() as ports:
            stack = cls(options or StackOptions(), closure, folder, ports)
            async with contextlib.AsyncExitStack() as cleanup:
                await stack._bring_up(cleanup, report)
                yield stack

    @property
    def asterisk(self) -> EmbeddedAsterisk:
        if self._asterisk is None:
            raise RuntimeError("the stack is not up yet")
        return self._asterisk

    @property
    def dsn(self) -> str:
        """The database of bridge and app, as its owner."""
        return self.postgres.dsn()

    @property
    def webhook_url(self) -> str:
        return f"http://{self._bridge_listen}/webhook"

    @property
    def simulator_url(self) -> str:
        """Base address of the simulator: Graph API under /vNN.N/…, its control API under /control/…"""
        return f"http://{self._simulator_listen}"

    @property
    def console_url(self) -> str:
        return f"http://{self._console_listen}"

    @property
    def phone_url(self) -> str:
        """The simulator's WhatsApp phone for a browser with a microphone."""
        return f"{self.simulator_url}/phone"

    @property
    def processes(self) -> dict[str, Process]:
        """What runs now, by name, in the order of the start."""
        return {name: process for name, process in self._pieces.items() if process.running}

    async def wait(self) -> Process:
        """Wait until a process has ended that nobody stopped, and return it."""
        return await first_to_end([process for process in self._pieces.values() if process.wanted])

    @property
    def _pieces(self) -> dict[str, Process]:
        return {
            "postgres": self.postgres.server,
            "asterisk": self.asterisk.process,
            "simulator": self.simulator,
            "bridge": self.bridge,
            "app": self.app,
            "console": self.console,
        }

    def describe(self) -> dict[str, object]:
        """Addresses and credentials for people and programs outside: what `up --json` prints."""
        return {
            "ari": {
                "url": self.asterisk.ari_url,
                "username": ARI_USER,
                "password": self.asterisk.ari_password,
                "app": STASIS_APP,
            },
            "sip": {
                "address": self.asterisk.sip_address,
                "transports": ["udp", "tcp"],
                "accounts": [
                    {"username": phone.name, "password": phone.password, "extension": phone.name}
                    for phone in self.asterisk.phones.values()
                ],
            },
            "postgres": {"dsn": self.dsn},
            "bridge": {"webhook": self.webhook_url, "ready": f"http://{self._bridge_listen}/ready"},
            "simulator": {
                "graph": self.simulator_url,
                "control": f"{self.simulator_url}/control",
                "phone": self.phone_url,
                "access_token": self.secrets.access_token,
                "app_secret": self.secrets.app_secret,
                "verify_token": self.secrets.verify_token,
            },
            "numbers": [{"phone_number_id": self.number.phone_number_id, "display_number": self.number.display_number}],
            "console": {
                "url": self.console_url,
                "login": self.console_login.login,
                "password": self.console_login.password,
            }
            if self.console.running
            else None,
            "config": str(self.config),
            "folder": str(self.folder),
            "logs": str(self.logs),
            "pids": {name: process.pid for name, process in self.processes.items()},
        }

    def _python(self, name: str, module: str) -> Process:
        command = [sys.executable, "-m", module, "--config", str(self.config)]
        environment = {"PATH": self.options.path} if self.options.path else {}
        return Process(name, command, self.logs / f"{name}.log", environment, folder=self.folder, notifies=True)

    async def _bring_up(self, cleanup: contextlib.AsyncExitStack, report: Callable[[str], object]) -> None:
        cleanup.push_async_callback(self.postgres.stop)
        report("Starting PostgreSQL …")
        await self.postgres.start()
        await migrate(self.dsn)
        await self._seed()
        cdr = CdrDatabase(self.postgres.port, OWNER, CDR_ROLE, self.postgres.password(CDR_ROLE))
        self._asterisk = EmbeddedAsterisk(
            self.closure,
            self.folder / "asterisk",
            self.logs,
            self._ports,
            AsteriskOptions(self._bridge_listen, cdr, self.options.extra_dialplan),
        )
        self._write_config()
        if self.options.console:
            await add_administrator(self.dsn, self.console_login)
        cleanup.push_async_callback(self._asterisk.stop)
        report("Starting Asterisk …")
        await self._asterisk.start()
        chosen = [
            process
            for process, wanted in (
                (self.simulator, self.options.simulator),
                (self.bridge, self.options.bridge),
                (self.app, self.options.app),
                (self.console, self.options.console),
            )
            if wanted
        ]
        cleanup.push_async_callback(self._stop_ours)  # also what a test started later
        if not chosen:
            return
        report("Starting " + ", ".join(process.name for process in chosen) + " …")
        try:
            async with asyncio.TaskGroup() as group:
                for process in chosen:
                    group.create_task(process.start())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _stop_ours(self) -> None:
        await asyncio.gather(self.console.stop(), self.app.stop(), self.bridge.stop(), self.simulator.stop())

    async def _seed(self) -> None:
        """The role that writes call detail records, and the least a call needs: number, agent, group, route."""
        await self.postgres.create_role(CDR_ROLE)
        await self.postgres.execute(
            f"ALTER ROLE {CDR_ROLE} SET timezone TO 'UTC'; GRANT USAGE ON SCHEMA cdr TO {CDR_ROLE}; "
            f"GRANT INSERT ON cdr.cdr TO {CDR_ROLE}",
            OWNER,
        )
        extension = self.options.agent_endpoint.rpartition("/")[2]
        connection = await asyncpg.connect(self.dsn, timeout=STATEMENT_LIMIT)
        try:
            await connection.execute(
                "INSERT INTO whatsapp.numbers (phone_number_id, display_number, name) VALUES ($1, $2, $3)",
                self.number.phone_number_id,
                self.number.display_number,
                self.number.name,
                timeout=STATEMENT_LIMIT,
            )
            await connection.execute(
                "WITH agent AS (INSERT INTO pbx.agents (name, endpoint, extension, voip_only) "
                "VALUES ($1, $2, $3, true) RETURNING id), "
                "team AS (INSERT INTO pbx.groups (name) VALUES ('Agents') RETURNING name), "
                "member AS (INSERT INTO pbx.group_members (group_name, agent_id) SELECT name, id FROM team, agent), "
                "route AS (INSERT INTO pbx.routes (number, calling_enabled) VALUES ($4, true) RETURNING number) "
                "INSERT INTO pbx.route_groups (number, position, group_name) SELECT number, 1, name FROM route, team",
                f"Agent {extension}",
                self.options.agent_endpoint,
                extension if extension.isdecimal() else None,
                self.number.display_number,
                timeout=STATEMENT_LIMIT,
            )
        finally:
            await connection.close(timeout=STATEMENT_LIMIT)

    def _write_config(self) -> None:
        write_toml(
            self.config,
            {
                "postgres": {"dsn": self.dsn},
                "ari": {
                    "url": self.asterisk.ari_url,
                    "username": ARI_USER,
                    "password": self.asterisk.ari_password,
                },
                "app": {
                    "name": STASIS_APP,
                    "prompts_folder": str(self.folder / "prompts"),
                    "recordings_folder": str(self.folder / "calls"),
                    "voicemail_folder": str(self.folder / "voicemail"),
                    "voip_contexts": ["phones"],
                },
                # Meta's test number is one of the United States, from where no user may be called; here nobody minds.
                "app.calling_out": {"business_countries": ["CA", "TR", "EG", "VN", "NG"]},
                "console": {
                    "listen": self._console_listen,
                    "sounds_folder": str(self.closure.asterisk_data / "sounds/en"),
                },
                "bridge": {"listen": self._bridge_listen, "name": BRIDGE_APP, "media_address": LOOPBACK},
                "meta": {
                    "graph_url": self.simulator_url,
                    "api_version": API_VERSION,
                    "access_token": self.secrets.access_token,
                    "app_secret": self.secrets.app_secret,
                    "verify_token": self.secrets.verify_token,
                    "permission_template": "call_permission",  # the simulator has it
                },
                "simulator": {
                    "listen": self._simulator_listen,
                    "webhook_url": self.webhook_url,
                    "media_address": LOOPBACK,
                    "recordings": str(self.recordings),
                },
                "simulator.numbers": [
                    {
                        "phone_number_id": self.number.phone_number_id,
                        "display_number": self.number.display_number,
                        "name": self.number.name,
                    }
                ],
            },
        )
