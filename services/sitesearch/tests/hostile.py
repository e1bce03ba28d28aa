"""A site that does to a crawler whatever a site can do. Each path is one way; `EXPECTED` says what must come of it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Mapping

from sites import Handler, Request, Site, answer, page, redirect

GIBIBYTE = 1024 * 1024 * 1024

# The reason that a crawl must report for each path.
EXPECTED: Mapping[str, str] = {
    "/loop/a": "redirect_loop",
    "/loop/self": "redirect_loop",
    "/hops/0": "too_many_redirects",
    "/gibibyte": "too_large",
    "/gibibyte/announced": "too_large",
    "/never-ends": "too_slow",
    "/slow-headers": "too_slow",
    "/silent": "no_answer",
    "/huge-headers": "bad_http",
    "/not-http": "bad_http",
    "/cut-off": "bad_http",
    "/gzip-bomb": "compression_bomb",
    "/broken-gzip": "bad_encoding",
    "/brotli": "bad_encoding",
    "/picture": "content_type",
    "/masquerade": "not_text",
    "/to-private": "private_address",
    "/to-private-name": "redirect_leaves_site",
    "/to-metadata": "private_address",
    "/to-integer-address": "private_address",
    "/to-ftp": "bad_address",
    "/elsewhere": "redirect_leaves_site",
    "/forbidden/page": "robots_forbidden",
    "/to-forbidden": "robots_forbidden",
    "/missing": "http_status",
    "/fails": "server_error",
    "/noindex": "no_index",
    "/same-as-wrong-charset": "canonical_elsewhere",
}

# Paths that give a page all the same.
PAGES = frozenset(
    {
        "/",
        "/wrong-charset",
        "/broken-html",
        "/many-links",
        "/deep-html",
        "/crowded-tag",
        "/dense",
        "/empty",
        "/entities",
        "/redirected-page",
        "/utf-16",
    }
)

WRONG_CHARSET = "Größe, façade, naïve".encode("cp1252")


def hostile(*, calendar: bool = True) -> Site:
    """The site, not yet served."""
    routes: dict[str, Handler] = {
        "/robots.txt": answer("User-agent: *\nDisallow: /forbidden/\n", media_type="text/plain"),
        "/sitemap.xml": answer(BILLION_LAUGHS, media_type="application/xml"),
        "/loop/a": redirect("/loop/b"),
        "/loop/b": redirect("/loop/a"),
        "/loop/self": redirect("/loop/self"),
        "/gibibyte": _endless(b"<p>" + b"x" * 65533, GIBIBYTE),
        "/gibibyte/announced": _announced(GIBIBYTE),
        "/crowded-tag": answer("<p " + " ".join(f"a{number}" for number in range(1_000_000)) + ">"),
        "/dense": answer("<p>" * 3_400_000),
        "/never-ends": _drip(b"<p>still here</p>"),
        "/slow-headers": _slow_headers,
        "/silent": _silent,
        "/huge-headers": answer("<p>x", headers={"X-Huge": "x" * 200_000}),
        "/not-http": _raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", close=True),
        "/cut-off": _raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\r\n<p>", close=True),
        "/gzip-bomb": answer(_bomb(), headers={"Content-Encoding": "gzip"}),
        "/broken-gzip": answer(gzip.compress(b"<p>fine</p>")[:9] + b"nonsense", headers={"Content-Encoding": "gzip"}),
        "/brotli": answer(b"\x0b\x02\x80", headers={"Content-Encoding": "br"}),
        "/picture": answer(b"\x89PNG\r\n\x1a\n", media_type="image/png"),
        "/masquerade": answer(b"\x89PNG\r\n\x1a\n" + bytes(5000)),
        "/to-private": redirect("http://127.0.0.1:22/"),
        "/to-private-name": redirect("http://localhost:8000/"),
        "/to-metadata": redirect("http://169.254.169.254/latest/meta-data/"),
        "/to-integer-address": redirect("http://10.0.0.1/"),
        "/to-ftp": redirect("ftp://example.org/"),
        "/elsewhere": redirect("https://example.org/"),
        "/forbidden/page": page("must not be seen"),
        "/to-forbidden": redirect("/forbidden/other"),
        "/fails": answer("oops", status=500),
        "/noindex": page("not for you", head='<meta name="robots" content="noindex">'),
        "/same-as-wrong-charset": page("copy", head='<link rel="canonical" href="/wrong-charset">'),
        "/wrong-charset": answer(
            b"<html><head><title>" + WRONG_CHARSET + b"</title></head><body>" + WRONG_CHARSET + b"</body></html>"
        ),
        "/utf-16": answer(
            "<html><title>sixteen</title><body>wide</body></html>".encode("utf-16"), media_type="text/html"
        ),
        "/broken-html": answer(
            "</p></body><title>broken<h1>a<table><td><div></b><p <a href='/deep-html'>x</i></html><p>tail"
        ),
        "/deep-html": answer("<title>deep</title>" + "<div>" * 50_000 + "bottom"),
        "/empty": answer(""),
        "/entities": answer("<title>&#0;&#xD800;&#x110000;</title><p>&#0;NUL \0 &bogus;"),
        "/redirect-to-page": redirect("/redirected-page", 301),
        "/redirected-page": page("arrived"),
        "/many-links": page("many links", *(f"/many/{number}" for number in range(10_000))),
    }
    site = Site(routes=routes, otherwise=_otherwise)
    listed = [*EXPECTED, "/redirect-to-page", "/wrong-charset", "/broken-html", "/many-links", "/deep-html", "/empty"]
    listed += ["/entities", "/utf-16", "/crowded-tag", "/dense"]
    if calendar:
        listed += ["/calendar/2026/1/", "/endless/"]
    routes["/"] = page("A hostile site", *listed)
    return site


async def _otherwise(request: Request, writer: asyncio.StreamWriter) -> None:
    path = request.path
    if path.startswith("/calendar/"):
        year, month = (int(part) for part in path.removeprefix("/calendar/").strip("/").split("/"))
        months = [f"/calendar/{year + ahead}/{month}/" for ahead in range(-40, 40)]
        await page(f"Month {month} of {year}", *months)(request, writer)
    elif path.startswith("/endless/"):
        await page("Further down", *(f"{path}{name}/" for name in ("more", "less", "same")))(request, writer)
    elif path.startswith("/hops/"):
        await redirect(f"/hops/{int(path.rpartition('/')[2]) + 1}")(request, writer)
    else:
        await answer("not here", status=404)(request, writer)


def _bomb() -> bytes:
    """A page of a gibibyte in about a mebibyte."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"<p>" + bytes(1024 * 1024)
    return b"".join(squeeze.compress(block.replace(b"\0", b" ")) for _ in range(256)) + squeeze.flush()


def _endless(chunk: bytes, size: int) -> Handler:
    async def handle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n")
        for _chunk in range(size // len(chunk)):
            writer.write(chunk)
            await writer.drain()
        raise ConnectionResetError("the answer ends here")

    return handle


def _announced(size: int) -> Handler:
    async def handle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {size}\r\n\r\n".encode())
        for _chunk in range(size // 65536):
            writer.write(b"x" * 65536)
            await writer.drain()

    return handle


def _drip(piece: bytes) -> Handler:
    async def handle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _piece in range(100_000):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.05)

    return handle


async def _slow_headers(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        writer.write(b"X-%d: x\r\n" % (number % 10))
        await writer.drain()
        await asyncio.sleep(0.05)


async def _silent(_: Request, writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    await asyncio.sleep(3600)


def _raw(content: bytes, *, close: bool) -> Handler:
    async def handle(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        if close:
            writer.close()
            await writer.wait_closed()
            raise ConnectionResetError("the answer ends here")

    return handle


BILLION_LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE urlset [<!ENTITY a "/lol/lol/lol/lol/lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>
<urlset><url><loc>&d;</loc></url></urlset>
"""
