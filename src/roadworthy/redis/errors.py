"""What can go wrong between this process and Redis: it cannot be reached, or it refuses one command."""

from __future__ import annotations

_ADVICE = {
    "MOVED": "the server is a node of a Redis Cluster; name a server that is none, or a proxy, in REDIS_URL",
    "ASK": "the server is a node of a Redis Cluster; name a server that is none, or a proxy, in REDIS_URL",
    "CROSSSLOT": "the server is a node of a Redis Cluster; name a server that is none, or a proxy, in REDIS_URL",
    "READONLY": "the server is a replica; name its primary in REDIS_URL",
    "OOM": "the server is full; raise its maxmemory, or set maxmemory-policy to volatile-ttl",
    "MISCONF": "the server cannot save to its disk and takes no writes; look into its log",
    "LOADING": "the server is reading its data set; it answers when that is done",
    "NOAUTH": "give the password in REDIS_URL",
    "WRONGPASS": "correct user and password in REDIS_URL",
    "NOPERM": "allow the user of REDIS_URL this command, its keys and its channels",
}


class RedisError(Exception):
    """What a command over a Redis connection raises."""


class RedisDown(RedisError):
    """The server is not connected, did not answer in time, or said what is no Redis."""


class ForeignProtocol(RedisDown):
    """What came is no reply of a Redis."""

    def __init__(self, message: str) -> None:
        """`message` is the parser's."""
        super().__init__(f"the server does not speak Redis's protocol: {message}")


class Refused(RedisError):
    """The server answered a command with an error; others may succeed. `code` is its first word, as in OOM."""

    def __init__(self, message: str) -> None:
        """`message` is the server's."""
        self.code = message.partition(" ")[0]
        advice = _ADVICE.get(self.code)
        super().__init__(message if advice is None else f"{message} ({advice})")
