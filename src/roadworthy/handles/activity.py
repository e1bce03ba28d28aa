"""The handle of an activity."""

from __future__ import annotations

from roadworthy.activity.spec import ActivitySpec
from roadworthy.errors import NotRunning
from roadworthy.handles.host import Host


class Activity:
    """The handle of an activity, declared with `Service.activity`."""

    def __init__(self, service: Host, spec: ActivitySpec) -> None:
        """Declared with `Service.activity`."""
        self.spec = spec
        self._service = service

    async def seen(self, person: str | int) -> None:
        """Note that somebody is active today, by an id that stays theirs; it waits for nothing.

        Of the id only a keyed hash is kept. Some seconds later it is in the database, and while that is away it waits
        in memory.
        """
        what = f"activity {self.spec.name!r}"
        activities = self._service.binding(what).activities
        if activities is None:
            raise NotRunning(what)
        activities.sightings[self.spec.name].seen(str(person))
