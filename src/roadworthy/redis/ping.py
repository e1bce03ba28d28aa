"""Ask Redis whether it answers, on a connection made for each question."""

from __future__ import annotations

from roadworthy.redis.address import Address
from roadworthy.redis.link import Link, connect
from roadworthy.redis.protocol import pack


class Ping:
    """The question to one server. `name` is what the server calls the connection in CLIENT LIST."""

    def __init__(self, address: Address, *, name: str, patience: float) -> None:
        """Wait for `patience` seconds to be connected, and for as many for an answer."""
        self.address = address
        self._name = name
        self._patience = patience
        self._security = address.security()

    async def __call__(self) -> None:
        """Ask. Raises RedisDown, and Refused where the server answers with an error."""
        link = await connect(
            self.address,
            lambda: Link(self._patience, lambda _: None),
            name=self._name,
            patience=self._patience,
            security=self._security,
        )
        try:
            await link.send(pack("PING"))
        finally:
            link.drop("the question is answered")
