"""What a handle knows of its service: where to declare, and what it is bound to."""

from __future__ import annotations

from typing import Protocol

from roadworthy.binding import Binding
from roadworthy.declaration import Declared


class Host(Protocol):
    """The service behind a handle."""

    @property
    def declared(self) -> Declared:
        """What the service has declared so far."""

    def binding(self, handle: str) -> Binding:
        """Return what the handles are bound to, or raise `NotRunning` naming `handle`."""
