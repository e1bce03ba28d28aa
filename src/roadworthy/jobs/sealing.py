"""Encrypted jobs, for those who may or may not have keys: nothing here loads the library that encrypts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from roadworthy.errors import EncryptionKeyMissing, InvalidArguments

if TYPE_CHECKING:
    from roadworthy.jobs.engine import Failure, JobOptions
    from roadworthy.jobs.operations import JobRecord

SEALED_MESSAGE = "encrypted; `roadworthy jobs show` with the key tells it"


class Keys(Protocol):
    """Keys that encrypt and decrypt; see `encryption.Keyring`."""

    def seal(self, job: str, clear: bytes) -> bytes:
        """Return `clear` encrypted, as a JSON object."""

    def open(self, job: str, sealed: bytes) -> bytes:
        """Return what `seal` was given."""

    def digest(self, text: str) -> str:
        """Return what stands for `text` in a unique key."""


def keys_of(text: str | None) -> Keys | None:
    """Return the keys of the setting, None where it is not set; raise MissingExtra or SettingError."""
    if text is None:
        return None
    from roadworthy.jobs.encryption import Keyring

    return Keyring.of(text)


def needed(keys: Keys | None, job: str) -> Keys:
    """Return `keys`, or raise `EncryptionKeyMissing` naming the job that needs them."""
    if keys is None:
        raise EncryptionKeyMissing(
            f"job {job!r} is encrypted, but ROADWORTHY_ENCRYPTION_KEYS is not set; set it to the same keys in every "
            "process, made with `openssl rand -base64 32`"
        )
    return keys


def opened(kept: bytes, options: JobOptions, job: str, keys: Keys | None) -> bytes:
    """Return arguments or a result in clear, whether encrypted or not."""
    return needed(keys, job).open(job, kept) if options.encrypted else kept


def sealed(failure: Failure, keys: Keys, job: str) -> Failure:
    """Return a failure of an encrypted job as it is kept: an error's message may hold arguments, its class does not."""
    told = msgspec.json.encode({"message": failure.message, "traceback": failure.traceback})
    return replace(failure, message=SEALED_MESSAGE, traceback=keys.seal(job, told).decode())


def unsealed(record: JobRecord, keys: Keys | None) -> JobRecord:
    """Return a job as people with the keys may see it; whatever cannot be decrypted stays as it is kept."""
    if not record.encrypted or keys is None:
        return record
    try:
        return replace(
            record,
            arguments=keys.open(record.job, record.arguments),
            result=None if record.result is None else keys.open(record.job, record.result),
            failures=tuple(_told(failure, keys, record.job) for failure in record.failures),
            encrypted=False,
        )
    except (EncryptionKeyMissing, InvalidArguments):
        return record


def _told(failure: dict[str, Any], keys: Keys, job: str) -> dict[str, Any]:
    if failure["message"] != SEALED_MESSAGE:
        return failure
    told: dict[str, str] = msgspec.json.decode(keys.open(job, failure["traceback"].encode()))
    return {**failure, **told}
