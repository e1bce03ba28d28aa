"""The client against servers that answer byte by byte what they should not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from roadworthy.edge.client import HttpClient, NoResponse, Response

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def saying(answer: bytes) -> Peer:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return peer


async def ask(peer: Peer, *, timeout: float = 10, method: str = "POST") -> Response:
    async with serving(peer) as url:
        return await HttpClient(timeout=timeout).request(method, url, {"X-Key": "1"})


async def test_what_is_sent_is_one_whole_request() -> None:
    received = b""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with serving(peer) as url:
        response = await HttpClient().request("BAN", f"{url}/a?b=%20c", {"Host": "shop.example"}, b"body")

    assert response.status == 204
    assert received == (
        b"BAN /a?b=%20c HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
    )


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", b"hi"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", b"x"),
    ],
)
async def test_bodies_of_every_kind(answer: bytes, body: bytes) -> None:
    response = await ask(saying(answer))
    assert (response.status, response.body) == (200, body)


async def test_an_answer_to_head_has_no_body() -> None:
    response = await ask(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nRetry-After: 7\r\n\r\n"), method="HEAD")
    assert response == Response(200, {"content-length": "100", "retry-after": "7"}, b"")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "ended within"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "IncompleteReadError"),
        (b"HTTP/1.1 200 OK\r\nContent-", "ended within"),
        (b"SSH-2.0-OpenSSH_9\r\n", "no HTTP/1.1"),
        (b"HTTP/1.1 OK\r\n\r\n", "no HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "-1 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "99999999999 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", "more than 1048576"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "ValueError"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1024 * 1024 + 1), "more than 1048576"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n", "more than 200 headers"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 40_000 + b"\r\n\r\n", "ValueError"),
    ],
)
async def test_what_is_no_whole_answer_is_none(answer: bytes, problem: str) -> None:
    with pytest.raises(NoResponse, match=problem):
        await ask(saying(answer))


async def test_a_server_that_says_nothing_is_left_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(NoResponse, match=r"no answer in 0\.05 s"):
        await ask(silent, timeout=0.05)


async def test_a_server_that_drips_is_left_in_time() -> None:
    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.005)

    with pytest.raises(NoResponse, match="no answer in"):
        await ask(dripping, timeout=0.1)


async def test_a_reset_and_a_closed_port_are_no_response() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    with pytest.raises(NoResponse):
        await ask(reset)
    async with serving(reset) as url:
        closed = url
    with pytest.raises(NoResponse, match="Error"):
        await HttpClient().request("POST", closed, {})


async def test_a_line_break_cannot_get_into_a_header() -> None:
    async with serving(saying(b"")) as url:
        with pytest.raises(NoResponse, match="line break"):
            await HttpClient().request("POST", url, {"X-Tag": "a\r\nX-Other: b"})


def certificate(directory: Path) -> Path:
    """Write a certificate for 127.0.0.1 and its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    unencrypted = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


async def test_a_server_is_trusted_by_its_certificate_alone(tmp_path: Path) -> None:
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        trusting = HttpClient(context=ssl.create_default_context(cafile=str(path)))
        assert (await trusting.request("POST", url, {"X-Key": "1"})).body == b"hi"
        with pytest.raises(NoResponse, match="CERTIFICATE_VERIFY_FAILED"):
            await HttpClient().request("POST", url, {"X-Key": "1"})
        elsewhere = url.replace("127.0.0.1", "localhost")
        with pytest.raises(NoResponse, match=r"CERTIFICATE_VERIFY_FAILED|Connect"):
            await trusting.request("POST", elsewhere, {"X-Key": "1"})
    assert len(received) == 1, "no secret reaches a server before it is known"


async def test_tls_is_not_given_up_for_a_server_without_it() -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        with pytest.raises(NoResponse):
            await HttpClient(timeout=1, context=ssl.create_default_context()).request(
                "POST", url.replace("http://", "https://"), {}
            )
