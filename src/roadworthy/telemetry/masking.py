"""Secrets kept out of logs and messages: values under telling names, passwords inside URLs, API keys in any text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|authorization|cookie|credential|signature"
    r"|(api|private|signing|access|encryption)[_-]?key",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE)
_API_KEY = re.compile(r"\b([a-z][a-z0-9_]{1,30}_[0-9A-Za-z]{8})_[0-9A-Za-z]{30}\b")
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
