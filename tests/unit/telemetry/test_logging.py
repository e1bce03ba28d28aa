from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from roadworthy.telemetry.logging import bound, configure, get_logger


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure("json", stream=stream)
    return stream


def test_a_line_is_one_json_object_of_known_order(stream: io.StringIO) -> None:
    get_logger("app.crawl").info("page fetched", url="https://example.org", status=200, slow=False)
    (line,) = written(stream)
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp")) < timedelta(minutes=1)
    assert line == {
        "level": "info",
        "logger": "app.crawl",
        "event": "page fetched",
        "url": "https://example.org",
        "status": 200,
        "slow": False,
    }


def test_third_parties_take_the_same_way(stream: io.StringIO) -> None:
    with bound(request_id="r1"):
        logging.getLogger("asyncpg.pool").warning("closing %s", "postgresql://u:p@h/d", extra={"waited": 3})
    (line,) = written(stream)
    assert line["logger"] == "asyncpg.pool"
    assert line["event"] == "closing postgresql://u:***@h/d"
    assert (line["level"], line["waited"], line["request_id"]) == ("warning", 3, "r1")


def test_a_traceback_is_one_field_without_secrets(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError("cannot reach postgresql://u:hunter2@h/d")

    for logger in (get_logger("ours"), logging.getLogger("theirs")):
        try:
            fail()
        except ValueError:
            logger.exception("failed")
    for line in written(stream):
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("ValueError: cannot reach postgresql://u:***@h/d")


def test_levels(stream: io.StringIO) -> None:
    log = get_logger("a")
    log.debug("unseen")
    logging.getLogger("b").debug("unseen")
    configure("json", "debug", stream)
    log.debug("seen")
    logging.getLogger("b").debug("seen too")
    assert [line["event"] for line in written(stream)] == ["seen", "seen too"]


async def test_the_context_is_each_tasks_own(stream: io.StringIO) -> None:
    log = get_logger("a")

    async def work(job: int) -> None:
        with bound(job_id=job):
            await asyncio.sleep(0)
            log.info("working")

    with bound(trace_id="t"):
        async with asyncio.TaskGroup() as group:
            for job in (1, 2):
                group.create_task(work(job))
        log.info("done")
    log.info("outside")
    lines = [{key: line.get(key) for key in ("trace_id", "job_id")} for line in written(stream)]
    assert lines == [
        {"trace_id": "t", "job_id": 1},
        {"trace_id": "t", "job_id": 2},
        {"trace_id": "t", "job_id": None},
        {"trace_id": None, "job_id": None},
    ]


def test_what_the_line_says_wins_over_the_context(stream: io.StringIO) -> None:
    with bound(job_id=1):
        get_logger("a").info("x", job_id=2)
    assert written(stream)[0]["job_id"] == 2


def test_contextvars_of_structlog_are_heeded(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(tenant="acme"):
        get_logger("a").info("x")
    assert written(stream)[0]["tenant"] == "acme"


@pytest.mark.parametrize(
    "value", [Mute(), object(), {1j: 2}, "\ud800", 10**40, float("nan"), {"a": {1, 2}}, b"\xff", datetime.now(UTC)]
)
@pytest.mark.parametrize("format", ["json", "console"])
def test_nothing_that_is_logged_raises(value: object, format: Any) -> None:
    stream = io.StringIO()
    configure(format, stream=stream)
    get_logger("a").info("odd", value=value, fine=1)
    logging.getLogger("b").info("odd %s", 1, extra={"value": value})
    assert stream.getvalue().count("odd") == 2
    if format == "json":
        assert written(stream)[0]["fine"] == 1


def test_a_stream_of_little_charset_takes_every_character() -> None:
    buffer = io.BytesIO()
    configure("console", stream=io.TextIOWrapper(buffer, "ascii", line_buffering=True))
    get_logger("a").info("größer \ud800")
    assert b"gr\\xf6\\xdfer \\ud800" in buffer.getvalue()


def test_a_terminal_gets_colours_and_a_file_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, plain, file = Terminal(), Terminal(), io.StringIO()
    configure(stream=terminal)
    get_logger("a").info("hello", password="hunter2")
    monkeypatch.setenv("NO_COLOR", "1")
    configure(stream=plain)
    get_logger("a").info("hello", password="hunter2")
    configure(stream=file)
    get_logger("a").info("hello")
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[" not in plain.getvalue()
    assert "hello" in plain.getvalue()
    assert "hunter2" not in terminal.getvalue() + plain.getvalue()
    assert written(file)


def test_unconfigured_logs_show_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_logger("a")
    try:
        secret = "hunter2"
        raise ValueError(len(secret))
    except ValueError:
        log.exception("failed")
    printed = capsys.readouterr().err
    assert "ValueError: 7" in printed
    assert "hunter2" not in printed.replace('secret = "hunter2"', "")


def test_lines_that_nobody_has_configured_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()

    get_logger("app").info("page fetched", url="https://example.org")

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "page fetched" in printed.err


def test_the_value_of_a_secret_stands_in_no_line() -> None:
    stream, secret = io.StringIO(), "k7Qz93mXw2Lp"
    configure("json", stream=stream, secrets=lambda: (secret,))
    try:
        raise ValueError(f"refused {secret}")
    except ValueError:
        get_logger("shop").exception(f"cannot pay with {secret}", url=f"https://shop.test/?k={secret}")
    logging.getLogger("third.party").warning("sent %s", secret)
    assert secret not in stream.getvalue()
    first, second = written(stream)
    assert (first["event"], first["url"]) == ("cannot pay with ***", "https://shop.test/?k=***")
    assert first["exception"].endswith("ValueError: refused ***")
    assert second["event"] == "sent ***"
