"""From bytes to text, whatever a page says of its encoding: byte order mark, header, meta, then what decodes.

The order is the WHATWG encoding sniffing algorithm's; labels that mean Windows-1252 on the web are read as that. A
declared encoding that the bytes contradict is given up where UTF-8 reads them without fault.
"""

from __future__ import annotations

import codecs
import re

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(
    rb"""<(?:meta|\?xml)\b[^>]{0,500}?(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE
)
_META_WITHIN = 4096
_LATIN = frozenset({"ascii", "iso8859-1", "cp1252"})
# Codecs of Python's that are no text encodings of the web, or read markup out of plain bytes.
_NOT_WEB = frozenset({"utf-7", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"})


def decode(body: bytes, declared: str | None = None) -> str:
    """The text of `body`, whose Content-Type declares a charset or none; what is no text becomes U+FFFD."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, errors="replace")
    for label in (declared, _meta(body)):
        encoding_name = _encoding(label)
        if encoding_name is None:
            continue
        if encoding_name == "cp1252":
            # It reads any bytes, so it proves nothing, and it is what servers declare by default.
            break
        try:
            return body.decode(encoding_name)
        except UnicodeDecodeError:
            return _undeclared(body, encoding_name)
    return _undeclared(body, "cp1252")


def _undeclared(body: bytes, otherwise: str) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        # A page cut off within a character, or with a few stray bytes, is UTF-8 all the same.
        if otherwise == "utf-8" and not _mostly_utf8(body, error):
            otherwise = "cp1252"
        return body.decode(otherwise, errors="replace")


def _mostly_utf8(body: bytes, error: UnicodeDecodeError) -> bool:
    sample = body[max(0, error.start - 2000) : error.start + 20_000].decode("utf-8", errors="replace")
    beyond_ascii = sum(character > "\x7f" for character in sample)
    return beyond_ascii > 2 * sample.count("\ufffd") or error.start >= len(body) - 4


def _meta(body: bytes) -> str | None:
    match = _META.search(body, 0, _META_WITHIN)
    if match is None:
        return None
    label = match[1].decode("ascii").lower()
    # A meta element that could be read as ASCII cannot be in UTF-16.
    return "utf-8" if label.startswith("utf-16") else label


def _encoding(label: str | None) -> str | None:
    if label is None:
        return None
    try:
        codec = codecs.lookup(label.strip().strip("\"'").lower())
    except (LookupError, ValueError):
        return None
    if codec.name.replace("_", "-") in _NOT_WEB or not codec._is_text_encoding:
        return None
    return "cp1252" if codec.name in _LATIN else codec.name
