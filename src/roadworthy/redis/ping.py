"""Ask Redis whether it answers, on a connection made for the question."""

from __future__ import annotations

from roadworthy.redis.address import Address
from roadworthy.redis.link import Link, connect
from roadworthy.redis.protocol import pack


async def ping(address: Address, *, name: str, patience: float) -> None:
    """Connect within `patience` seconds, have a PING answered within as many, and let go.

    `name` is what the server calls the connection in CLIENT LIST. Raises RedisDown, and Refused where the server
    answers with an error.
    """
    link = await connect(
        address, lambda: Link(patience, lambda _: None), name=name, patience=patience, security=address.security()
    )
    try:
        await link.send(pack("PING"))
    finally:
        link.drop("the question is answered")
