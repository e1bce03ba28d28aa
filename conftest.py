"""Leaves out, and names, tests whose programs are not installed; TEST_EVERYTHING=1 makes that an error."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

PROGRAMS = {
    "amtool": lambda: shutil.which("amtool") is not None,
    "chromium": lambda: shutil.which("chromium") is not None,
    "nginx": lambda: shutil.which("nginx") is not None,
    "node": lambda: shutil.which("node") is not None,
    "prometheus": lambda: shutil.which("prometheus") is not None,
    "promtool": lambda: shutil.which("promtool") is not None,
    "python-doc": lambda: Path("/usr/share/doc/python3-doc/html/index.html").exists(),
    "redis-server": lambda: shutil.which("redis-server") is not None,
    "varnishd": lambda: shutil.which("varnishd") is not None,
}


_ROOT = Path(__file__).parent
_SERVICES = _ROOT / "services"
_LONG = (
    _SERVICES / "sitesearch/tests/faults/test_crawl_survives.py",
    *(_SERVICES / service / "tests" / part for service in ("sitesearch", "vitals") for part in ("faults", "browser")),
    _ROOT / "tests/faults",
    _SERVICES,
)
_MEASURES = "COVERAGE_PROCESS_CONFIG"

# Not by the clock, so that a busy machine fails nothing; and the same examples each time: a change is judged by what it
# changes. `--hypothesis-profile=search` looks for others.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("search"), derandomize=True)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"needs(program): runs only where {', '.join(PROGRAMS)} is installed")
    absent = [name for name, is_installed in PROGRAMS.items() if not is_installed()]
    if absent and os.environ.get("TEST_EVERYTHING"):
        raise pytest.UsageError(f"not installed: {', '.join(absent)}; .ci/run installs all that the tests need")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put first what takes longest, so that no process is left with it at the end, and leave out what cannot run."""
    long = [item for item in items if any(map(item.path.is_relative_to, _LONG))]
    for item in long:
        # What they run of src/ is measured elsewhere, and would take twice as long here.
        item.add_marker(pytest.mark.no_cover)
    items.sort(key=_turn)
    kept, left_out, missing = [], [], set()
    for item in items:
        wanting = {mark.args[0] for mark in item.iter_markers("needs") if not PROGRAMS[mark.args[0]]()}
        (left_out if wanting else kept).append(item)
        missing |= wanting
    if not left_out:
        return
    message = f"{len(left_out)} tests need {', '.join(sorted(missing))}, which is not installed"
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
    config.stash[_LEFT_OUT] = message


def _turn(item: pytest.Item) -> int:
    return next((at for at, path in enumerate(_LONG) if item.path.is_relative_to(path)), len(_LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Have the processes that an unmeasured test starts not be measured either."""
    if item.get_closest_marker("no_cover") is None:
        return (yield)
    kept = os.environ.pop(_MEASURES, None)
    try:
        return (yield)
    finally:
        if kept is not None:
            os.environ[_MEASURES] = kept


_LEFT_OUT = pytest.StashKey[str]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["left_out"] = session.config.stash.get(_LEFT_OUT, "")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a parallel worker left out, for only this process has the terminal."""
    if message := getattr(node, "workeroutput", {}).get("left_out"):
        node.config.stash[_LEFT_OUT] = message


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if message := config.stash.get(_LEFT_OUT, None):
        terminalreporter.write_line(f"left out: {message}", yellow=True)


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """Leave the log as it was: which tests share a process is not settled."""
    root = logging.getLogger()
    config, configured, level = structlog.get_config(), structlog.is_configured(), root.level
    ours = [handler for handler in root.handlers if _is_ours(handler)]
    yield
    if configured:
        structlog.configure(**config)
    else:
        structlog.reset_defaults()
    root.setLevel(level)
    root.handlers[:] = [*ours, *(handler for handler in root.handlers if not _is_ours(handler))]


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
