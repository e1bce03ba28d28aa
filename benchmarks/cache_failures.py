"""The failures that caches are known for, shown on the peer that has each and on ours.

    python -m benchmarks.cache_failures [--json] [--only WORDS]

Each scenario has a Redis of its own. The exit code is 1 where ours fails, or where a peer does not show its defect any
more, for then the scenario proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from roadworthy.runtime.embedded import EmbeddedPostgres

from .caches import nodes
from .caches.failures import FAILURES, Failure, Outcome, Scenario
from .queues import servers

_SCENARIO_SECONDS = 90.0


async def _outcome(scenario: Scenario, program: str, postgres: str, directory: Path) -> Outcome:
    try:
        async with asyncio.timeout(_SCENARIO_SECONDS), nodes.fresh(program, postgres, directory) as on:
            return await scenario(on)
    except Exception as error:
        return Outcome(f"{type(error).__name__}: {error}", right=False)


async def _run(directory: Path, chosen: list[Failure]) -> list[tuple[Failure, Outcome, Outcome]]:
    if (program := servers.redis_program()) is None:
        raise SystemExit("redis-server is not on the PATH; install Redis or Valkey")
    found = []
    async with AsyncExitStack() as stack:
        database = servers.Database(await stack.enter_async_context(EmbeddedPostgres(directory / "postgres")))
        postgres = await stack.enter_async_context(database.fresh())
        for failure in chosen:
            theirs = await _outcome(failure.theirs, program, postgres, directory)
            ours = await _outcome(failure.ours, program, postgres, directory)
            found.append((failure, theirs, ours))
            print(f"{failure.defect}: {failure.peer} {theirs.shown}; ours {ours.shown}", file=sys.stderr, flush=True)
    return found


def _table(found: list[tuple[Failure, Outcome, Outcome]]) -> str:
    lines = [("defect", "peer", "peer's result", "ours", "")]
    for failure, theirs, ours in found:
        verdict = "OURS FAILS" if not ours.right else "the peer does not show it" if theirs.right else "holds"
        lines.append((failure.defect, failure.peer, theirs.shown, ours.shown, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def main() -> None:
    """Run the scenarios, and print what they showed."""
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache_failures", description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", help="only defects with these words")
    options = parser.parse_args()
    chosen = [failure for failure in FAILURES if not options.only or options.only in failure.defect]
    with tempfile.TemporaryDirectory(prefix="roadworthy-bench-") as directory:
        # Root's PostgreSQL runs as another user, who has to get past this directory to its own.
        Path(directory).chmod(0o711)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(_run(Path(directory), chosen))
    if options.json:
        rows = [
            {
                "defect": failure.defect,
                "peer": failure.peer,
                "theirs": theirs.shown,
                "ours": ours.shown,
                "holds": ours.right,
            }
            for failure, theirs, ours in found
        ]
        print(json.dumps(rows, indent=2))
    else:
        print(_table(found))
    sys.exit(0 if all(ours.right and not theirs.right for _, theirs, ours in found) else 1)


if __name__ == "__main__":
    main()
