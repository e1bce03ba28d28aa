"""Both services against their own OpenAPI documents, every check of schemathesis on: nothing is found."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roadworthy import testing
from roadworthy.duration import seconds
from roadworthy.runtime.web import serving
from roadworthy.service import ASGIApp

EXAMPLES = int(os.environ.get("ROADWORTHY_TEST_EXAMPLES", "8"))
SECONDS = 600.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@asynccontextmanager
async def sitesearch() -> AsyncIterator[tuple[ASGIApp, list[str]]]:
    """Site Search with a small site, and the key of who runs it."""
    from corpus import add_site

    from sitesearch.app import app
    from sitesearch.service import keys, pages, service

    async with testing.running(service):
        await add_site(pages)
        key = await keys.issue("tests", scopes=keys.spec.scopes, limit="1000000/minute", actor="tests")
        yield app, ["--header", f"Authorization: Bearer {key.secret}"]


@asynccontextmanager
async def vitals() -> AsyncIterator[tuple[ASGIApp, list[str]]]:
    """Vitals with a user, her data, and her key."""
    from people import add_user, confide, key_of, observe

    from vitals.app import app
    from vitals.reading import latest
    from vitals.service import database, service

    async with testing.running(service):
        ada = await add_user("ada")
        await observe(ada, "weight", "withings", 70)
        await confide(ada, "weight", "withings", 85)
        await latest.refresh(database, force=True)
        yield app, ["--header", f"Authorization: Bearer {await key_of('user', 'ada')}"]


SERVICES = {"sitesearch": sitesearch, "vitals": vitals}

# What is a web address or a CSS selector, no JSON Schema can say: there, 422 is an answer to what fits the schema, too.
CONFIGURATION = "".join(
    f'''
[[operations]]
include-name = "{name}"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]
'''
    for name in ("POST /api/v1/sites", "PUT /api/v1/sites/{site}")
)


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("name", SERVICES)
async def test_nothing_is_found(name: str, listener: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION if name == "sitesearch" else "")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1/openapi.json"
    async with SERVICES[name]() as (app, options), serving(app, listener, grace=seconds(1)):
        process = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "schemathesis.cli",
                "run",
                url,
                "--checks",
                "all",
                "--no-color",
                "--continue-on-failure",
            ),
            *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--seed", "1", "--workers", "1"),
            *("--request-timeout", "60", *options),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
    assert process.returncode == 0, output.decode(errors="replace")
