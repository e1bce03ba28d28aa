"""A child process that runs jobs one at a time: `python -m roadworthy.jobs.child PARENT DESCRIPTOR`.

It is started afresh, not forked, so it inherits no thread, lock or connection of the worker. It imports the module of
each job's function; the service is not running in it. It ends with the worker, whatever kills that one: the socket that
both share closes then, which a thread sees, and Linux kills it besides, whatever it computes.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import pickle  # nosec B403  # between a process and its own child
import queue
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import msgspec

from roadworthy.jobs.control import GiveUp, Snooze
from roadworthy.jobs.current import CURRENT, CurrentJob
from roadworthy.jobs.engine import ClaimedJob, Failure
from roadworthy.jobs.failure import failure_of
from roadworthy.jobs.spec import JobSpec
from roadworthy.telemetry import logging

LENGTH = 4
"""How many bytes before a message say how long it is."""

_ORPHANED = 70
_PR_SET_PDEATHSIG = 1
_MAIN = "__roadworthy_main__"


class Setup(msgspec.Struct, frozen=True, tag=True):
    """The first message to a child: where to import from, and how to write logs.

    `main` is the module or file that the worker was started as, for functions of `__main__`.
    """

    path: list[str]
    main: str | None
    log_format: logging.Format
    log_level: logging.Level


class Call(msgspec.Struct, frozen=True, tag=True):
    """To a child: run a function. `arguments` is a JSON object, `context` goes into each log line."""

    module: str
    name: str
    arguments: bytes
    job: ClaimedJob
    context: dict[str, str | int]


class Returned(msgspec.Struct, frozen=True, tag=True):
    """From a child: the function returned. `result` is JSON, null where JSON cannot carry it and nobody keeps it."""

    result: bytes


class Raised(msgspec.Struct, frozen=True, tag=True):
    """From a child: the function raised. `error` is the pickled exception where it says how the attempt is to end."""

    failure: Failure
    error: bytes | None


class _Ended(BaseException):
    """The worker wants this process to end; `finally` blocks of the job run."""


def main(arguments: list[str]) -> int:
    """Run jobs until the worker closes its end of the socket or sends SIGTERM."""
    parent, descriptor = map(int, arguments)
    _die_with(parent)
    # A terminal's Ctrl-C is the worker's to judge.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    try:
        with socket.socket(fileno=descriptor) as link:
            os.set_inheritable(descriptor, False)
            threading.Thread(target=_receive, args=(link, messages), name="worker", daemon=True).start()
            setup = msgspec.msgpack.decode(messages.get(), type=Setup)
            sys.path[:] = setup.path
            logging.configure(setup.log_format, setup.log_level)
            while True:
                call = msgspec.msgpack.decode(messages.get(), type=Call)
                data = msgspec.msgpack.encode(_answer(call, setup))
                link.sendall(len(data).to_bytes(LENGTH, "big") + data)
    except (_Ended, OSError):
        return 0


def _end(_number: int, _frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise _Ended


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(_ORPHANED)


def _receive(link: socket.socket, messages: queue.SimpleQueue[bytes]) -> None:
    """Pass messages on; at the end of the worker, end the process, whatever it does."""
    try:
        while True:
            messages.put(_exactly(link, int.from_bytes(_exactly(link, LENGTH), "big")))
    except (EOFError, OSError):
        os._exit(0)


def _exactly(link: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        received = link.recv(min(count - len(data), 1 << 20))
        if not received:
            raise EOFError
        data += received
    return bytes(data)


def _answer(call: Call, setup: Setup) -> Returned | Raised:
    try:
        spec = find(_module(call.module, setup.main), call.name, call.job.job)
        CURRENT.set(CurrentJob(call.job, None))
        with logging.bound(**call.context):
            result = spec.function(**spec.arguments.decode(call.arguments))
            return Returned(_encoded(result, kept=call.job.options.keep is not None))
    except _Ended:
        raise
    except BaseException as error:
        return Raised(failure_of(error), _pickled(error))


def _encoded(result: Any, *, kept: bool) -> bytes:
    try:
        return msgspec.json.encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError):
        if kept:
            raise
        return b"null"


def _pickled(error: BaseException) -> bytes | None:
    return pickle.dumps(error) if isinstance(error, Snooze | GiveUp) else None


def _module(name: str, main: str | None) -> ModuleType:
    if name != "__main__":
        return importlib.import_module(name)
    if main is None:
        raise ImportError("the worker's __main__ is no file; declare process jobs in a module of its own")
    if not main.endswith(".py"):
        return importlib.import_module(main)
    if _MAIN not in sys.modules:
        spec = importlib.util.spec_from_file_location(_MAIN, main)
        if spec is None or spec.loader is None:
            raise ImportError(f"{main} cannot be imported")
        sys.modules[_MAIN] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[_MAIN]
            raise
    return sys.modules[_MAIN]


def find(module: ModuleType, name: str, job: str) -> JobSpec:
    """Return the declaration of `job` in `module`: behind the attribute `name`, or else behind any of its handles."""
    attributes: Mapping[str, Any] = vars(module)
    candidates = [attributes.get(name.partition(".")[0]), *attributes.values()]
    for handle in candidates:
        spec = getattr(handle, "spec", None)
        if isinstance(spec, JobSpec) and spec.name == job:
            return spec
    raise LookupError(
        f"module {module.__name__!r} has no job {job!r} for a child process to import; declare it at the module's top "
        "level, and keep its handle there"
    )


if __name__ == "__main__":
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
