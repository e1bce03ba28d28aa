"""What encrypts, decrypts and digests, and what it refuses."""

from __future__ import annotations

import base64
import builtins
import importlib
import json
import sys
from typing import Any

import pytest

from roadworthy.errors import EncryptionKeyMissing, InvalidArguments, MissingExtra, SettingError
from roadworthy.jobs.encryption import Keyring
from roadworthy.jobs.sealing import keys_of


def key(n: int) -> bytes:
    return bytes([n]) * 32


def text(*numbers: int) -> str:
    return ",".join(base64.b64encode(key(n)).decode() for n in numbers)


def test_what_was_sealed_is_opened_and_never_looks_the_same() -> None:
    keys = Keyring.of(text(1))
    sealed = [keys.seal("charge", b'{"card":"4111"}') for _ in range(3)]
    assert len(set(sealed)) == 3
    assert {keys.open("charge", one) for one in sealed} == {b'{"card":"4111"}'}
    assert all(list(json.loads(one)) == ["encrypted"] and b"4111" not in one for one in sealed)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, both, new = Keyring.of(text(1)), Keyring.of(text(2, 1)), Keyring.of(f" {text(2)} ")
    assert both.open("a", old.seal("a", b"1")) == b"1"
    assert new.open("a", both.seal("a", b"2")) == b"2"
    with pytest.raises(EncryptionKeyMissing, match="add the key"):
        old.open("a", new.seal("a", b"3"))


def test_what_belongs_to_another_job_or_was_changed_is_refused() -> None:
    keys = Keyring.of(text(1))
    sealed = keys.seal("charge", b"{}")
    with pytest.raises(InvalidArguments, match="was changed"):
        keys.open("refund", sealed)
    data = bytearray(base64.b64decode(json.loads(sealed)["encrypted"]))
    data[-1] ^= 1
    with pytest.raises(InvalidArguments, match="was changed"):
        keys.open("charge", json.dumps({"encrypted": base64.b64encode(data).decode()}).encode())


@pytest.mark.parametrize("kept", [b"{}", b'{"encrypted": 1}', b'{"encrypted": "\xc3\xa9"}', b"nothing"])
def test_what_is_not_encrypted_is_refused(kept: bytes) -> None:
    with pytest.raises(InvalidArguments, match="is not"):
        Keyring.of(text(1)).open("charge", kept)


def test_digests_hide_the_text_and_stay_while_the_last_key_does() -> None:
    old, both, other = Keyring.of(text(1)), Keyring.of(text(2, 1)), Keyring.of(text(2))
    assert old.digest("4111") == both.digest("4111") != other.digest("4111")
    assert old.digest("4111") != old.digest("4112")
    assert "4111" not in old.digest("4111")


@pytest.mark.parametrize("keys", ["", "not base64!", base64.b64encode(b"short").decode(), f"{text(1)},"])
def test_keys_that_are_none_are_refused_with_how_to_make_one(keys: str) -> None:
    with pytest.raises(SettingError, match="openssl rand -base64 32"):
        keys_of(keys)


def test_without_the_setting_there_are_no_keys() -> None:
    assert keys_of(None) is None


def test_the_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "roadworthy.jobs.encryption")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"roadworthy\[encryption\]"):
        importlib.import_module("roadworthy.jobs.encryption")
