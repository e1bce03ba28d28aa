"""Gets one address: bounded in time, in bytes before and after decompression, and in where it connects to."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDictProxy
from yarl import URL

from roadworthy import EgressRefused
from roadworthy.security.egress import EgressGuard
from sitesearch.crawl import addresses
from sitesearch.crawl.outcomes import Failed, Fetched, NotModified, Reason, Redirected, Refused, Result

CONTACT_VARIABLE = "SITESEARCH_CONTACT"
PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml", "text/plain"})
SITEMAP_TYPES = frozenset(
    {"application/xml", "text/xml", "text/plain", "application/gzip", "application/x-gzip", "application/octet-stream"}
    | {"application/rss+xml", "application/atom+xml", "text/html"}
)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 503})
# Numbers that open files which are no text, whatever their content type says.
_SIGNATURES = (
    b"%PDF-",
    b"\x89PNG",
    b"PK\x03\x04",
    b"GIF8",
    b"\xff\xd8\xff",
    b"\x7fELF",
    b"MZ\x90\x00",
    b"RIFF",
    b"ID3",
)
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s;"']+)""", re.IGNORECASE)
_CHUNK = 64 * 1024

Hop = Callable[[str], Awaitable[Redirected | Refused | Failed | None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one fetch may cost: times in seconds, sizes in bytes, over all its redirects.

    `largest` bounds the body before and after decompression, which may expand it `ratio` times once past a mebibyte.
    `large_bodies` is how many bodies past `large` one process receives at once.
    """

    connect: float = 5.0
    read: float = 10.0
    total: float = 20.0
    largest: int = 10 * 1024 * 1024
    ratio: int = 200
    redirects: int = 5
    headers: int = 16 * 1024
    large: int = 1024 * 1024
    large_bodies: int = 4


@dataclass(frozen=True, slots=True)
class Validators:
    """What makes a request conditional: the ETag and Last-Modified of the copy at hand."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        pairs = (("If-None-Match", self.etag), ("If-Modified-Since", self.last_modified))
        return {name: value for name, value in pairs if value}


class Fetcher:
    """Fetches over one pool of connections, each to an address that the guard vetted. Made with `Fetcher.open`."""

    def __init__(self, session: aiohttp.ClientSession, guard: EgressGuard, limits: Limits) -> None:
        """See `open`."""
        self._session = session
        self.guard = guard
        self.limits = limits
        self._large = asyncio.Semaphore(limits.large_bodies)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, guard: EgressGuard, limits: Limits | None = None, *, contact: str = ""
    ) -> AsyncIterator[Fetcher]:
        """A fetcher for the time of an `async with`.

        `contact` is a page or address that tells site owners whose crawler this is; it goes into the user agent.
        """
        limits = limits or Limits()
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(guard), limit=256, limit_per_host=16, ttl_dns_cache=30, keepalive_timeout=15
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _user_agent(contact), "Accept-Encoding": "gzip, deflate"},
            timeout=aiohttp.ClientTimeout(
                total=None, connect=limits.total, sock_connect=limits.connect, sock_read=limits.read
            ),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_CHUNK,
            max_line_size=limits.headers,
            max_field_size=limits.headers,
        ) as session:
            yield cls(session, guard, limits)

    async def fetch(
        self,
        address: str,
        *,
        validators: Validators | None = None,
        accept: frozenset[str] = PAGE_TYPES,
        hop: Hop | None = None,
        largest: int | None = None,
        truncate: bool = False,
    ) -> Result:
        """Get `address`, a normalised one, following its redirects.

        Args:
            validators: makes the request conditional.
            accept: the media types to read; others are refused unread.
            hop: asked before each redirect is followed; what it returns other than None is the result.
            largest: the size cap in bytes, instead of the limits'.
            truncate: whether a larger body is cut there and not refused.

        Returns:
            What came of it. Nothing that a server does raises.
        """
        try:
            async with asyncio.timeout(self.limits.total):
                return await self._follow(
                    address, validators, _Reading(accept, largest or self.limits.largest, truncate), hop
                )
        except TimeoutError:
            return Refused(Reason.TOO_SLOW, f"still not done after {self.limits.total:g} s")

    async def _follow(self, address: str, validators: Validators | None, reading: _Reading, hop: Hop | None) -> Result:
        visited = [address]
        while True:
            conditions = validators.headers() if validators and len(visited) == 1 else {}
            result = await self._attempt(visited[-1], conditions, reading)
            if isinstance(result, NotModified) and not conditions:
                return Refused(Reason.BAD_HTTP, "304 to a request that named no condition")
            if not isinstance(result, Redirected):
                return result
            if result.target in visited:
                circle = visited[visited.index(result.target) :]
                return Refused(Reason.REDIRECT_LOOP, " -> ".join([*circle, result.target])[:1000])
            if len(visited) > self.limits.redirects:
                return Refused(
                    Reason.TOO_MANY_REDIRECTS, f"more than {self.limits.redirects}, the last to {result.target}"[:1000]
                )
            if hop is not None and (verdict := await hop(result.target)) is not None:
                return verdict
            visited.append(result.target)

    async def _attempt(self, address: str, conditions: dict[str, str], reading: _Reading) -> Result:
        headers = {"Accept": ",".join(sorted(reading.accept)), **conditions}
        try:
            self.guard.vet_target(*addresses.host_and_port(address))
            async with self._session.get(
                URL(address, encoded=True), headers=headers, allow_redirects=False
            ) as response:
                return await self._answer(address, response, reading)
        except EgressRefused as error:
            return Refused(Reason.PRIVATE_ADDRESS, f"{address}: {error}"[:1000])
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error)

    async def _answer(self, address: str, response: aiohttp.ClientResponse, reading: _Reading) -> Result:
        status, headers = response.status, response.headers
        if status == 304:
            return NotModified()
        if status in _REDIRECTS and "Location" in headers:
            try:
                return Redirected(addresses.normalise(headers["Location"], address))
            except addresses.BadAddress as error:
                return Refused(Reason.BAD_ADDRESS, f"redirects to no web address: {error}"[:1000])
        if status in _BUSY:
            return Failed(Reason.SERVER_BUSY, f"{status} {response.reason or ''}".strip()[:200], _retry_after(headers))
        if status >= 500:
            return Failed(Reason.SERVER_ERROR, f"{status} {response.reason or ''}".strip()[:200])
        if status != 200:
            return Refused(Reason.HTTP_STATUS, f"{status} {response.reason or ''}".strip()[:200])
        return await self._read(address, response, reading)

    async def _read(self, address: str, response: aiohttp.ClientResponse, reading: _Reading) -> Result:
        headers = response.headers
        media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type and media_type not in reading.accept:
            return Refused(Reason.CONTENT_TYPE, media_type[:100])
        length = response.content_length
        if length is not None and length > reading.largest and not reading.truncate:
            return Refused(Reason.TOO_LARGE, f"{length} bytes; at most {reading.largest} are read")
        try:
            decoder = _Decoder(headers.get("Content-Encoding", ""), reading.largest, self.limits.ratio)
        except _BadEncoding as error:
            return Refused(Reason.BAD_ENCODING, str(error))
        async with _Admission(self._large, self.limits.large) as admission:
            async for chunk in response.content.iter_chunked(_CHUNK):
                refusal = decoder.feed(chunk)
                if refusal is None and _is_binary(decoder.body) and reading.accept is PAGE_TYPES:
                    refusal = Refused(Reason.NOT_TEXT, f"sent as {media_type or 'nothing in particular'}")
                if refusal is not None:
                    if refusal.reason is Reason.TOO_LARGE and reading.truncate:
                        break
                    return refusal
                await admission.grown_to(len(decoder.body))
        charset = _CHARSET.search(headers.get("Content-Type", ""))
        return Fetched(
            url=address,
            body=bytes(memoryview(decoder.body)[: reading.largest]),
            media_type=media_type,
            charset=charset[1] if charset else None,
            etag=_short(headers.get("ETag")),
            last_modified=_short(headers.get("Last-Modified")),
            robots_tag=",".join(headers.getall("X-Robots-Tag", ()))[:1000].lower(),
            size=decoder.received,
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    accept: frozenset[str]
    largest: int
    truncate: bool


class _GuardedResolver(AbstractResolver):
    """Resolves names through the system and gives the connector only addresses that the guard lets pass."""

    def __init__(self, guard: EgressGuard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._guard.resolve(host, port, family)
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Admission:
    """Lets only so many bodies of a process grow large at once; the others wait with what they have."""

    def __init__(self, large: asyncio.Semaphore, threshold: int) -> None:
        self._large = large
        self._threshold = threshold
        self._admitted = False

    async def __aenter__(self) -> _Admission:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._admitted:
            self._large.release()

    async def grown_to(self, size: int) -> None:
        if size > self._threshold and not self._admitted:
            await self._large.acquire()
            self._admitted = True


class _BadEncoding(ValueError):
    pass


class _Decoder:
    """Decompresses as bytes come, never past the cap: zlib is asked for at most what is still allowed."""

    def __init__(self, encoding: str, largest: int, ratio: int) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise _BadEncoding(f"it is sent as {name[:40]!r}, which was not asked for")
        self.body = bytearray()
        self.received = 0
        self._consumed = 0
        self._largest = largest
        self._ratio = ratio
        self._compressed = name not in ("", "identity")
        # 47: a gzip or a zlib header, whichever comes.
        self._inflate = zlib.decompressobj(47)
        self._maybe_raw = name == "deflate"

    def feed(self, chunk: bytes) -> Refused | None:
        self.received += len(chunk)
        if not self._compressed:
            self.body += chunk
        else:
            try:
                self._decompress(chunk)
            except zlib.error as error:
                return Refused(Reason.BAD_ENCODING, str(error)[:200])
            if self._exploding:
                return Refused(Reason.COMPRESSION_BOMB, f"{self._consumed} bytes became {len(self.body)} and more")
        if len(self.body) > self._largest or self.received > self._largest:
            return Refused(Reason.TOO_LARGE, f"more than {self._largest} bytes")
        return None

    @property
    def _exploding(self) -> bool:
        return len(self.body) > max(1024 * 1024, self._ratio * self._consumed)

    def _decompress(self, chunk: bytes) -> None:
        while chunk:
            # One byte past the cap is enough to know.
            room = min(_CHUNK * 4, self._largest + 1 - len(self.body))
            if room <= 0:
                return
            try:
                self.body += self._inflate.decompress(chunk, room)
            except zlib.error:
                if not self._maybe_raw or self.body:
                    raise
                # Some servers send deflate without its zlib header.
                self._maybe_raw = False
                self._inflate = zlib.decompressobj(-15)
                continue
            chunk = self._inflate.unconsumed_tail
            self._consumed = self.received - len(chunk)
            if self._exploding:
                return
            if self._inflate.eof and self._inflate.unused_data:
                chunk = self._inflate.unused_data
                self._inflate = zlib.decompressobj(47)


def _user_agent(contact: str) -> str:
    printable = "".join(character for character in contact if " " < character < "\x7f" and character not in "()")
    return f"sitesearch/1.0 (+{printable[:200]})" if printable else "sitesearch/1.0"


def _is_binary(body: bytearray) -> bool:
    head = bytes(body[:1024])
    if head.startswith(_SIGNATURES):
        return True
    # A few stray NULs are a fault of a page's author; more are no text.
    return not head.startswith(_UTF16_MARKS) and head.count(0) > 3 + len(head) // 100


def _retry_after(headers: CIMultiDictProxy[str]) -> timedelta | None:
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal() and len(value) < 9:
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # Against the server's own clock where it says what that is, so that neither clock has to be right.
    try:
        server_now = parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, OverflowError):
        server_now = datetime.now(UTC)
    return max(timedelta(0), moment - (server_now if server_now.tzinfo else server_now.replace(tzinfo=UTC)))


def _failure(error: Exception) -> Refused | Failed:
    text = f"{type(error).__name__}: {error}"[:500]
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Failed(Reason.NO_SUCH_HOST, text)
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return Failed(Reason.NO_ANSWER, text)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            return Refused(Reason.CONNECTION, text)
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return Failed(Reason.BAD_HTTP, text)
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL() | ValueError():
            return Refused(Reason.BAD_HTTP, text)
        case _:
            return Failed(Reason.CONNECTION, text)


def _short(value: str | None) -> str | None:
    # It is kept and sent back as it came, so only what has one spelling everywhere is.
    return value if value is not None and len(value) <= 256 and value.isascii() and value.isprintable() else None
