"""The handle of a secret."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from roadworthy.errors import NotRunning, SettingError
from roadworthy.security.secrets import FILE_SUFFIX, Holding, SecretSpec
from roadworthy.telemetry.masking import MASK


class Secret:
    """A secret of the service's: masked wherever it is printed, logged or encoded, and told by `value` alone.

    It follows its file: ask for `value` when it is needed, and keep none.
    """

    __slots__ = ("_held", "spec")

    def __init__(self, spec: SecretSpec) -> None:
        """Declared with `Service.secret`."""
        self.spec = spec
        self._held: list[Holding] = []

    @property
    def value(self) -> str:
        """The current value. Raises SettingError where none is set, NotRunning outside a running service."""
        values = self.values
        if not values:
            raise SettingError(f"{self.spec.name} is not set; set it, or {self.spec.name}{FILE_SUFFIX}")
        return values[0]

    @property
    def values(self) -> tuple[str, ...]:
        """All that count now, the current one first; those replaced count for the overlap."""
        if not self._held:
            raise NotRunning(f"secret {self.spec.name!r}")
        return self._held[-1].values()

    @property
    def is_open(self) -> bool:
        """Whether its service runs, so that its values are known."""
        return bool(self._held)

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return bool(self.values)

    def matches(self, offered: str) -> bool:
        """Return whether `offered` is one that counts, in a time that does not tell how much of it is right."""
        encoded = offered.encode("utf-8", "surrogateescape")
        known = False
        for value in self.values:
            known |= hmac.compare_digest(value.encode("utf-8", "surrogateescape"), encoded)
        return known

    @contextmanager
    def opened(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
        """Have the values for the time of a `with`; the runtime calls it. Raises SettingError for a weak one."""
        held = Holding(self.spec, environ, clock)
        self._held.append(held)
        try:
            yield
        finally:
            self._held.remove(held)

    def __repr__(self) -> str:
        """Tell its name and nothing of it."""
        return f"Secret({self.spec.name!r}, {MASK!r})"

    def __str__(self) -> str:
        """Tell nothing."""
        return MASK

    def __format__(self, _: str) -> str:
        """Tell nothing."""
        return MASK

    def __reduce__(self) -> NoReturn:
        """Stay in this process. Raises TypeError."""
        raise TypeError(f"secret {self.spec.name!r} cannot be pickled: it would be written where anybody reads it")
