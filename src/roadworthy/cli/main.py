"""The command line: its commands, and what every one of them shares.

Exit codes: 0 done, 1 the answer is no, 2 bad usage or input. A `RoadworthyError` is told without traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from roadworthy.cli import (
    activity,
    audit,
    budget,
    cache,
    check,
    config,
    cost,
    emit,
    jobs,
    keys,
    leaks,
    migrate,
    purge,
    run,
    schedule,
    serve,
    version,
    work,
)
from roadworthy.cli.exits import BAD_USAGE, DONE, INTERRUPTED
from roadworthy.cli.output import prepare_streams
from roadworthy.errors import RoadworthyError

_COMMANDS = (
    run,
    serve,
    work,
    schedule,
    migrate,
    check,
    emit,
    budget,
    cost,
    activity,
    config,
    jobs,
    keys,
    audit,
    leaks,
    cache,
    purge,
    version,
)

_EPILOG = """\
TARGET names the service: package.module:attribute or path/to/file.py:attribute, the attribute being `service` unless
it is said. It can be left out where ROADWORTHY_SERVICE is set, or pyproject.toml says
  [tool.roadworthy]
  service = "package.module:service"

examples:
  roadworthy run sitesearch.service:service     everything on this machine, with a PostgreSQL of its own
  roadworthy check sitesearch.service:service   whether the declaration can work
  roadworthy jobs counts                        how many jobs wait, run and failed for good
  roadworthy config                             every setting, its value and where that came from
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = argparse.ArgumentParser(
        prog="roadworthy",
        description="Run a declared service, look after its jobs, and check its declaration.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `arguments` are the process's by default."""
    prepare_streams()
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except RoadworthyError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        _discard_output()
        return DONE
    except OSError as error:
        _discard_output()
        print(f"error: {error}", file=sys.stderr)
        return BAD_USAGE
    return code


def _discard_output() -> None:
    """Have the interpreter not fail once more at its end, over what it could not write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
