"""Arguments, results and errors of encrypted jobs: AES-256-GCM under keys of the service's own.

What is encrypted is bound to the name of its job, so that nobody who can write to the database can hand one job's
arguments to another. Each use draws a nonce of 96 bits, as NIST SP 800-38D has it, which is good for some four thousand
million uses of one key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence

import msgspec

from roadworthy.errors import EncryptionKeyMissing, InvalidArguments, MissingExtra, SettingError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:
    raise MissingExtra("encrypting a job's arguments", "encryption") from error

SETTING = "ROADWORTHY_ENCRYPTION_KEYS"

_KEY_BYTES = 32
_NAME_BYTES = 4
_NONCE_BYTES = 12


class _Envelope(msgspec.Struct, frozen=True):
    encrypted: str


class Keyring:
    """Keys, of which the first encrypts and all decrypt. Unique keys are digested under the last.

    So a new key goes first, and what was encrypted under an old one is read until that is removed.
    """

    def __init__(self, keys: Sequence[bytes], *, random: Callable[[int], bytes] = os.urandom) -> None:
        """Each of `keys` has 32 bytes; `random` draws bytes for nonces."""
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise SettingError(
                f"{SETTING} holds a key that is not {_KEY_BYTES} bytes; make one with `openssl rand -base64 32`"
            )
        self._ciphers = {hashlib.sha256(b"name\0" + key).digest()[:_NAME_BYTES]: AESGCM(key) for key in keys}
        self._first = next(iter(self._ciphers))
        self._digest_key = hashlib.sha256(b"digest\0" + keys[-1]).digest()
        self._random = random

    @classmethod
    def of(cls, text: str) -> Keyring:
        """Read keys in base64, separated by commas; raise `SettingError` for what is none."""
        try:
            return cls([base64.b64decode(part.strip(), validate=True) for part in text.split(",")])
        except ValueError:
            raise SettingError(
                f"{SETTING} holds what is not base64; separate keys by commas, each from `openssl rand -base64 32`"
            ) from None

    def seal(self, job: str, clear: bytes) -> bytes:
        """Return `clear` encrypted, as a JSON object."""
        nonce = self._random(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, clear, job.encode())
        return msgspec.json.encode(_Envelope(base64.b64encode(self._first + nonce + sealed).decode()))

    def open(self, job: str, sealed: bytes) -> bytes:
        """Return what `seal` was given.

        Raises:
            EncryptionKeyMissing: it was encrypted under a key that is not here.
            InvalidArguments: it was changed, or belongs to another job.
        """
        try:
            envelope = msgspec.json.decode(sealed, type=_Envelope)
            data = base64.b64decode(envelope.encrypted, validate=True)
        except (msgspec.MsgspecError, ValueError) as error:
            raise InvalidArguments(f"job {job!r} is encrypted, but what is kept of it is not: {error}") from None
        cipher = self._ciphers.get(data[:_NAME_BYTES])
        if cipher is None:
            raise EncryptionKeyMissing(
                f"job {job!r} was encrypted under a key that {SETTING} does not hold; add the key after those "
                "that are there"
            )
        nonce, rest = data[_NAME_BYTES : _NAME_BYTES + _NONCE_BYTES], data[_NAME_BYTES + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, rest, job.encode())
        except InvalidTag:
            raise InvalidArguments(f"job {job!r} is encrypted, but what is kept of it was changed") from None

    def digest(self, text: str) -> str:
        """Return what stands for `text` in a unique key, and tells nobody without the key anything of it."""
        return "hmac:" + hmac.new(self._digest_key, text.encode(), hashlib.sha256).hexdigest()
