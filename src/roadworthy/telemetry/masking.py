"""Secrets kept out of logs and messages: values under telling names, passwords inside URLs, API keys in any text."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

MASK = "***"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|authorization|cookie|credential|signature"
    r"|(api|private|signing|access|encryption)[_-]?key",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE)
_API_KEY = re.compile(r"\b([a-z][a-z0-9_]{1,30}_[0-9A-Za-z]{8})_[0-9A-Za-z]{30}\b")
# Each part is bounded, for a long text of words and hyphens would take quadratic time.
_TOLD_SECRET = re.compile(
    r"(\b[\w-]{0,40}(?:pass(?:word|wd|phrase)|secret|token|authorization|credential|api[_-]?key)[\w-]{0,40}"
    r"[\"']?\s{0,4}[=:]\s{0,4}[\"']?(?:bearer |basic )?)[^\s\"'&,;]+",
    re.IGNORECASE,
)
_MAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,190}")
_SHORTEST_SECRET = 6
_SHORTEST_API_KEY = 42
_DEEPEST = 4


def is_secret(name: str) -> bool:
    """Return whether a value under this name is to be kept out of sight."""
    return _SECRET_NAME.search(name) is not None


def mask_urls(text: str) -> str:
    """Return `text` with the password of every URL in it masked."""
    return _URL_PASSWORD.sub(rf"\1{MASK}", text) if "://" in text else text


def mask_keys(text: str) -> str:
    """Return `text` with the secret of every API key in it masked; its id stays, by which it can be revoked."""
    if len(text) < _SHORTEST_API_KEY or "_" not in text:
        return text
    return _API_KEY.sub(rf"\1_{MASK}", text)


def mask(name: str, value: Any, depth: int = 0) -> Any:
    """Return `value` as it may be shown under `name`; mappings and lists are copied, masked inside.

    A number or a truth value is shown whatever its name: `tokens=17` is no secret.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if is_secret(name):
        return MASK
    if isinstance(value, str):
        return mask_keys(mask_urls(value))
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {key: mask(str(key), inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [mask("", inner, depth + 1) for inner in value]
    return value


def hidden(text: str, secrets: Collection[str]) -> str:
    """Return `text` without any of `secrets`, but for those so short that they stand in any text."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET and secret in text:
            text = text.replace(secret, MASK)
    return text


def scrubbed(value: Any, secrets: Collection[str], name: str = "") -> Any:
    """Return a copy of what is told to others: masked by names, inside texts too, and by the values of `secrets`.

    Addresses of mail are masked as well. What is no JSON is shown as its `repr`.
    """
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if is_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): scrubbed(inner, secrets, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrubbed(inner, secrets) for inner in value]
    text = mask_keys(mask_urls(hidden(str(value), secrets)))
    return _MAIL.sub(MASK, _TOLD_SECRET.sub(rf"\1{MASK}", text))
