"""Secrets from the environment or a file: refused where they could be guessed, and followed when they change.

A secret NAME is the variable's value or, in NAME_FILE, the path of a file that holds it, as Docker and Kubernetes mount
them. A file is looked at again about once a second, so a secret can be replaced without a restart; the one before goes
on counting for the declared overlap.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Literal

from roadworthy.errors import DeclarationError, SettingError
from roadworthy.telemetry.logging import get_logger

Source = Literal["environment", "file", "not set"]

FILE_SUFFIX = "_FILE"

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_FEWEST_BYTES = 16
_LARGEST_FILE = 64 * 1024
_LOOK_SECONDS = 1.0
_BITS_PER_BYTE = 2.0
_FAMOUS = re.compile(
    r"change[-_ ]?me|replace[-_ ]?me|pass[-_ ]?word|passw0rd|letmein|qwerty|insecure|example|placeholder|default"
    r"|your[-_ ]|(?:top|super|the)[-_ ]?secret|secret[-_ ]?key|not[-_ ]?so[-_ ]?secret|correcthorse"
    r"|^(?:admin|todo|test)|1234567|abcdefg|deadbeef|x{8}",
    re.IGNORECASE,
)
_FIX = "use random characters, as from `openssl rand -hex 32`"

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """A secret that a service needs.

    `name` is its environment variable, `min_bytes` the fewest bytes that it may have. `required` has the service refuse
    to start without it. With `several`, a comma separates secrets that all count, the current one first. `overlap` is
    for how long a secret of a file counts after another has replaced it. `purpose` says what it is for.

    Raises DeclarationError where a value breaks its rule.
    """

    name: str
    min_bytes: int = 32
    required: bool = True
    several: bool = False
    overlap: timedelta = timedelta(0)
    purpose: str = ""

    def __post_init__(self) -> None:
        """Refuse what no environment holds, or what could be guessed."""
        if not _NAME.fullmatch(self.name) or self.name.endswith(FILE_SUFFIX):
            raise DeclarationError(
                f"secret {self.name!r} is no name of a variable; write it as SHOP_SIGNING_KEY, and not with "
                f"{FILE_SUFFIX} at its end"
            )
        if self.min_bytes < _FEWEST_BYTES:
            raise DeclarationError(
                f"secret {self.name!r} has min_bytes={self.min_bytes}; a secret of fewer than {_FEWEST_BYTES} can be "
                "guessed"
            )
        if self.overlap < timedelta(0):
            raise DeclarationError(f"secret {self.name!r} has overlap={self.overlap}; it must be 0 or more")


def weakness(text: str, min_bytes: int) -> str | None:
    """Return why a secret could be guessed, as the end of a sentence; None where nothing speaks for that.

    The entropy is that of its characters taken one by one (Shannon), which a random text of hexadecimal digits has 3.7
    bits of each, and a repetition or a series of neighbours less than it seems.
    """
    size = len(text.encode("utf-8", "surrogateescape"))
    if size < min_bytes:
        return f"it has {size} bytes, and {min_bytes} are needed"
    if famous := _FAMOUS.search(text):
        # What is quoted stands in every list of passwords, so quoting it gives nothing away.
        return f"{famous[0].lower()!r} is in it, which guesses begin with"
    if (text + text).find(text, 1) < len(text):
        return "it repeats itself"
    steps = Counter(ord(after) - ord(before) for before, after in pairwise(text))
    if sum(steps[step] for step in (-1, 0, 1)) > 2 * len(text) / 3:
        return "its characters follow each other in order"
    share = [count / len(text) for count in Counter(text).values()]
    if -sum(each * math.log2(each) for each in share) * len(text) < _BITS_PER_BYTE * min_bytes:
        return "it has too few different characters"
    return None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the environment holds of a secret: its values, the current one first, and where they came from."""

    values: tuple[str, ...]
    source: Source
    path: str | None = None


def load(spec: SecretSpec, environ: Mapping[str, str]) -> Loaded:
    """Read a secret. An empty variable counts as none.

    Raises SettingError, which names the variable, the rule and the fix, and does not repeat the secret.
    """
    text, path = environ.get(spec.name, "").strip(), environ.get(spec.name + FILE_SUFFIX, "").strip()
    if text and path:
        raise SettingError(f"{spec.name} and {spec.name}{FILE_SUFFIX} are both set; unset the one that is not meant")
    if path:
        return Loaded(_values(spec, _read(spec, path), f"{spec.name}{FILE_SUFFIX} ({path})"), "file", path)
    if not text:
        if spec.required:
            purpose = f", {spec.purpose}" if spec.purpose else ""
            raise SettingError(
                f"{spec.name}{purpose}, is not set; set it, or {spec.name}{FILE_SUFFIX} to the path of a file with it: "
                f"{_FIX}"
            )
        return Loaded((), "not set")
    return Loaded(_values(spec, text, spec.name), "environment")


def _values(spec: SecretSpec, text: str, where: str) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split(",")] if spec.several else [text.strip()]
    values = tuple(part for part in parts if part)
    for value in values:
        if (why := weakness(value, spec.min_bytes)) is not None:
            raise SettingError(f"{where} holds a secret that is too weak: {why}; {_FIX}")
    if not values and spec.required:
        raise SettingError(f"{where} is empty; {_FIX}")
    return values


def _read(spec: SecretSpec, path: str) -> str:
    variable = spec.name + FILE_SUFFIX
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (a path of an operator's, as it is written)
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SettingError(f"{variable}={path!r} is no file; name one that holds the secret")
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise SettingError(f"{variable}={path!r} cannot be read ({error.strerror}); correct it") from None
    try:
        text = content.decode()
    except ValueError:
        raise SettingError(f"{variable}={path!r} holds what is no text; write the secret in base64 or hex") from None
    if len(content) > _LARGEST_FILE:
        raise SettingError(f"{variable}={path!r} is longer than {_LARGEST_FILE // 1024} kB; name the secret's file")
    return text


class Holding:
    """The values of one secret while a service runs. A change that cannot be used leaves them as they are."""

    def __init__(self, spec: SecretSpec, environ: Mapping[str, str], clock: Callable[[], float]) -> None:
        """Load it; `clock` counts in seconds. Raises SettingError as `load` does."""
        self._spec = spec
        self._clock = clock
        loaded = load(spec, environ)
        self._environ = {name: environ[name] for name in (spec.name, spec.name + FILE_SUFFIX) if name in environ}
        self._path = loaded.path
        self._seen = self._signature()
        self._look_at = clock() + _LOOK_SECONDS
        self._current = loaded.values
        self._retired: list[tuple[str, float]] = []
        self._values = loaded.values

    def values(self) -> tuple[str, ...]:
        """Return what counts now, the current value first."""
        if self._path is not None:
            now = self._clock()
            if now >= self._look_at:
                self._look(now)
        return self._values

    def _look(self, now: float) -> None:
        self._look_at = now + _LOOK_SECONDS
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            self._reload(now)
        self._retired = [(value, until) for value, until in self._retired if until > now]
        self._values = (*self._current, *(value for value, _ in self._retired))

    def _reload(self, now: float) -> None:
        try:
            fresh = load(self._spec, self._environ).values
        except SettingError as error:
            _log.warning("secret not replaced", variable=self._spec.name, reason=str(error))
            return
        until = now + self._spec.overlap.total_seconds()
        gone = [value for value in self._current if value not in fresh]
        self._retired = [(value, end) for value, end in self._retired if value not in fresh]
        self._retired += [(value, until) for value in gone]
        self._current = fresh
        if gone:
            _log.info("secret replaced", variable=self._spec.name, overlap=str(self._spec.overlap))

    def _signature(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)  # noqa: PTH116 (once a second, and cheaper by a path)
        except OSError:
            return (0, 0, 0)
        return found.st_ino, found.st_mtime_ns, found.st_size
