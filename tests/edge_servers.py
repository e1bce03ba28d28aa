"""Stand-ins on loopback for the purge APIs of CDNs: as strict as their documents, and unwell when told to be."""

from __future__ import annotations

import asyncio
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from roadworthy.edge.signature import Credentials, signed

Reply = tuple[int, Mapping[str, str], bytes]
Trouble = Reply | Literal["reset", "silent", "lost answer"]

ZONE = "023e105f4ecef8ad9ca31a8372d0c353"
TOKEN = "cloudflare-secret-token"
KEY = "fastly-secret-key"
AWS = Credentials("AKIDEXAMPLE", "aws-secret-key", "aws-session-token")
ENVIRONMENT = {
    "CLOUDFLARE_API_TOKEN": TOKEN,
    "FASTLY_API_TOKEN": KEY,
    "AWS_ACCESS_KEY_ID": AWS.access_key,
    "AWS_SECRET_ACCESS_KEY": AWS.secret_key,
    "AWS_SESSION_TOKEN": AWS.session_token or "",
}

_TAG = re.compile(r"[!-+\--@\[-~]{1,1024}")


@dataclass(frozen=True)
class Request:
    """What arrived. Header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Refused(Exception):
    """The request is not what the API takes; with the reply that says so."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply[0])
        self.reply = reply


@dataclass
class FakeApi:
    """An HTTP server of one API. `troubles` happen to the next requests, one each, before the API looks at them."""

    troubles: list[Trouble] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    url: str = ""

    def answer(self, request: Request) -> Reply:
        """Do what is asked, or raise Refused."""
        raise NotImplementedError

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
            self.requests.append(request)
            trouble = self.troubles.pop(0) if self.troubles else None
            if trouble == "reset":
                writer.transport.abort()
                return
            if trouble == "silent":
                await reader.read()
                return
            reply = trouble if isinstance(trouble, tuple) else self._judged(request)
            if trouble == "lost answer":
                writer.transport.abort()
                return
            status, headers, body = reply
            lines = [f"HTTP/1.1 {status} Reason", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    def _judged(self, request: Request) -> Reply:
        try:
            return self.answer(request)
        except Refused as refused:
            return refused.reply


async def _read(reader: asyncio.StreamReader) -> Request:
    method, target, version = (await reader.readline()).decode().split()
    assert version == "HTTP/1.1"
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        assert name.lower() not in headers, f"{name} twice"
        headers[name.lower()] = value.strip()
    assert "host" in headers
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def as_json(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Reply:
    return status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode()


@dataclass
class FakeCloudflare(FakeApi):
    """One zone: POST /client/v4/zones/{zone}/purge_cache. `bad` are URLs of hosts that the zone does not have."""

    bad: set[str] = field(default_factory=set)
    purged: list[tuple[str, Any]] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused(self._error(403, 10000, "Authentication error"))
        if (request.method, request.target) != ("POST", f"/client/v4/zones/{ZONE}/purge_cache"):
            raise Refused(self._error(404, 7003, "Could not route to this path"))
        if request.headers.get("content-type") != "application/json":
            raise Refused(self._error(415, 6007, "Malformed JSON in request body"))
        document = json.loads(request.body)
        if len(document) != 1:
            raise Refused(self._error(400, 1012, "Request must contain one of its fields"))
        ((name, value),) = document.items()
        if name == "purge_everything":
            if value is not True:
                raise Refused(self._error(400, 1094, "purge_everything is true or absent"))
        else:
            self._check(name, value)
        self.purged.append((name, value))
        return as_json(200, {"success": True, "errors": [], "messages": [], "result": {"id": ZONE}})

    def _check(self, name: str, values: list[str]) -> None:
        if name not in ("files", "tags", "hosts", "prefixes"):
            raise Refused(self._error(400, 1012, f"there is no field {name}"))
        if not 1 <= len(values) <= 100:
            raise Refused(self._error(400, 1094, "1 to 100 operations in a request"))
        valid: dict[str, Callable[[str], bool]] = {
            "files": lambda value: value.startswith(("http://", "https://")) and value not in self.bad,
            "tags": lambda value: _TAG.fullmatch(value) is not None,
            "prefixes": lambda value: "://" not in value and "?" not in value and "/" in value,
        }
        if not all(map(valid[name], values)):
            raise Refused(self._error(400, 1016, f"one of the {name} does not belong to the zone"))

    @staticmethod
    def _error(status: int, code: int, message: str) -> Reply:
        errors = [{"code": code, "message": message}]
        return as_json(status, {"success": False, "errors": errors, "messages": [], "result": None})


@dataclass
class FakeFastly(FakeApi):
    """One service. `soft` are purges that left a stale copy."""

    SERVICE = "SU1Z0isxPaozGVKXdv0eY"
    keys: list[list[str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    everything: int = 0
    soft: list[bool] = field(default_factory=list)

    def answer(self, request: Request) -> Reply:
        if request.headers.get("fastly-key") != KEY:
            raise Refused(as_json(401, {"msg": "Provided credentials are missing or invalid"}))
        if request.method != "POST":
            raise Refused(as_json(405, {"msg": "Method not allowed"}))
        soft = request.headers.get("fastly-soft-purge") == "1"
        if request.target == f"/service/{self.SERVICE}/purge":
            keys = json.loads(request.body)["surrogate_keys"]
            if not 1 <= len(keys) <= 256 or not all(_TAG.fullmatch(key) for key in keys):
                raise Refused(as_json(400, {"msg": "Bad request", "detail": "1 to 256 surrogate keys"}))
            self.keys.append(keys)
            self.soft.append(soft)
            return as_json(200, {key: f"108-{number}" for number, key in enumerate(keys)})
        if request.target == f"/service/{self.SERVICE}/purge_all":
            if soft:
                raise Refused(as_json(400, {"msg": "purge_all cannot be soft"}))
            self.everything += 1
            return as_json(200, {"status": "ok"})
        if request.target.startswith("/purge/") and "://" not in request.target:
            self.urls.append(request.target.removeprefix("/purge/"))
            self.soft.append(soft)
            return as_json(200, {"status": "ok", "id": "108-1"})
        raise Refused(as_json(404, {"msg": "Record not found"}))


@dataclass
class FakeCloudFront(FakeApi):
    """One distribution. `in_progress` counts what has not ended; the test ends it."""

    DISTRIBUTION = "EDFDVBD6EXAMPLE"
    NAMESPACE = "{http://cloudfront.amazonaws.com/doc/2020-05-31/}"
    bad: set[str] = field(default_factory=set)
    invalidations: dict[str, list[str]] = field(default_factory=dict)
    in_progress: list[str] = field(default_factory=list)
    repeated: int = 0

    def answer(self, request: Request) -> Reply:
        if (request.method, request.target) != ("POST", f"/2020-05-31/distribution/{self.DISTRIBUTION}/invalidation"):
            raise Refused(self._error(404, "NoSuchDistribution", "The specified distribution does not exist."))
        self._check_signature(request)
        reference, items = self._parsed(request.body)
        if reference in self.invalidations:
            if self.invalidations[reference] != items:
                raise Refused(self._error(400, "InvalidationBatchAlreadyExists", "with other paths"))
            self.repeated += 1
            return self._created(reference)
        if not all(self._valid(item) for item in items):
            raise Refused(self._error(400, "InvalidArgument", "Your request contains an invalid invalidation path."))
        now = [*self.in_progress, *items]
        wild = [item for item in now if item.endswith("*")]
        if len(wild) > 15 or len(now) - len(wild) > 3000:
            raise Refused(self._error(400, "TooManyInvalidationsInProgress", "You exceeded the number in progress."))
        self.in_progress = now
        self.invalidations[reference] = items
        return self._created(reference)

    def _check_signature(self, request: Request) -> None:
        if "x-amz-date" not in request.headers:
            raise Refused(self._error(403, "MissingAuthenticationToken", "there is no signature"))
        expected = signed(
            "POST",
            f"http://{request.headers['host']}{request.target}",
            {"Content-Type": request.headers["content-type"]},
            request.body,
            credentials=AWS,
            region="us-east-1",
            service="cloudfront",
            now=datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        )
        if request.headers.get("authorization") != expected["Authorization"]:
            raise Refused(self._error(403, "SignatureDoesNotMatch", "The signature does not match."))
        if request.headers.get("x-amz-security-token") != AWS.session_token:
            raise Refused(self._error(403, "InvalidClientTokenId", "The security token is invalid."))

    def _parsed(self, body: bytes) -> tuple[str, list[str]]:
        root = ElementTree.fromstring(body)  # noqa: S314 (our own client wrote it)
        if root.tag != f"{self.NAMESPACE}InvalidationBatch":
            raise Refused(self._error(400, "MalformedXML", "no InvalidationBatch"))
        reference = root.findtext(f"{self.NAMESPACE}CallerReference")
        items = [item.text or "" for item in root.iter(f"{self.NAMESPACE}Path")]
        quantity = root.findtext(f"{self.NAMESPACE}Paths/{self.NAMESPACE}Quantity")
        if not reference or quantity != str(len(items)) or not items:
            raise Refused(self._error(400, "InconsistentQuantities", "Quantity and Items do not match."))
        return reference, items

    def _valid(self, item: str) -> bool:
        return item not in self.bad and (item.startswith("/") or (_TAG.fullmatch(item) is not None and item[0] == "#"))

    @staticmethod
    def _created(reference: str) -> Reply:
        body = f"<Invalidation><Id>I{reference}</Id><Status>InProgress</Status></Invalidation>"
        return 201, {"Content-Type": "text/xml"}, body.encode()

    @staticmethod
    def _error(status: int, code: str, message: str) -> Reply:
        body = (
            '<?xml version="1.0"?><ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error>'
            f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        )
        return status, {"Content-Type": "text/xml"}, body.encode()
