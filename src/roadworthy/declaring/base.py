"""What a method that declares needs of its service."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from roadworthy.declaration import Declared

if TYPE_CHECKING:
    from roadworthy.binding import Binding
    from roadworthy.handles.resource import Resource
    from roadworthy.handles.secret import Secret
    from roadworthy.scaling.spec import Scaling


class Declaring:
    """The part of a service that its declarations go to."""

    name: str
    declared: Declared
    _resources: list[Resource[Any]]
    _secrets: list[Secret]
    _scaling: dict[str, Scaling]

    @abstractmethod
    def binding(self, handle: str) -> Binding:
        """Return what the handles are bound to, or raise `NotRunning` naming `handle`."""
