"""Invalidating at a CloudFront distribution.

Source: Amazon CloudFront API reference, CreateInvalidation of 2020-05-31, and its quotas, as of 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit
from xml.sax.saxutils import escape, unescape  # nosec B406  # escapes and parses nothing

from roadworthy.edge.api import Answer, Verdict, by_status, clean
from roadworthy.edge.cdn import CloudFront
from roadworthy.edge.client import Client, Response
from roadworthy.edge.purge import Batch, Kind
from roadworthy.edge.signature import Credentials, signed

_VERSION = "2020-05-31"
_ERROR = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")

# Where the status alone says too little. Too many in progress is told of one kind: paths, or wildcards.
_VERDICTS: dict[str, Verdict] = {
    "TooManyInvalidationsInProgress": "later",
    "Throttling": "limited",
    "ThrottlingException": "limited",
    "RequestLimitExceeded": "limited",
    "AccessDenied": "denied",
    "ExpiredToken": "denied",
    "IncompleteSignature": "denied",
    "InvalidClientTokenId": "denied",
    "MissingAuthenticationToken": "denied",
    "RequestExpired": "denied",
    "SignatureDoesNotMatch": "denied",
    "InvalidationBatchAlreadyExists": "invalid",
}


class CloudFrontApi:
    """The API, for one distribution."""

    def __init__(self, spec: CloudFront, credentials: Credentials, client: Client, now: Callable[[], datetime]) -> None:
        """Sign requests by the credentials."""
        self._spec = spec
        self._url = f"{spec.base_url.rstrip('/')}/{_VERSION}/distribution/{spec.distribution}/invalidation"
        self._credentials = credentials
        self._client = client
        self._now = now

    async def send(self, batch: Batch) -> Answer:
        """Make one call; the batch's reference has CloudFront know a repeated one."""
        body = _document(batch).encode()
        headers = signed(
            "POST",
            self._url,
            {"Content-Type": "application/xml"},
            body,
            credentials=self._credentials,
            region=self._spec.region,
            service="cloudfront",
            now=self._now(),
        )
        return self._answer(await self._client.request("POST", self._url, headers, body))

    def _answer(self, response: Response) -> Answer:
        found = _ERROR.search(response.body.decode("utf-8", "replace"))
        code, message = (found[1], unescape(found[2] or "")) if found else ("", "")
        secrets = [self._credentials.secret_key, *filter(None, [self._credentials.session_token])]
        answer = by_status(response, clean(f"{code} {message}", secrets), self._now())
        if answer.verdict == "accepted":
            return answer
        return Answer(_VERDICTS.get(code, answer.verdict), answer.reason, answer.after)


def _document(batch: Batch) -> str:
    items = list(dict.fromkeys(_item(batch.kind, value) for value in batch.values))
    paths = "".join(f"<Path>{escape(item)}</Path>" for item in items)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/{_VERSION}/">'
        f"<Paths><Quantity>{len(items)}</Quantity><Items>{paths}</Items></Paths>"
        f"<CallerReference>{escape(batch.reference)}</CallerReference></InvalidationBatch>"
    )


def _item(kind: Kind, value: str) -> str:
    if kind == "everything":
        return "/*"
    if kind == "tag":
        return f"#{value}"
    parts = urlsplit(value)
    path = parts.path or "/"
    if kind == "prefix":
        return f"{path}*"
    # At the end of a path an asterisk would stand for anything.
    exact = f"{path}?{parts.query}" if parts.query else path
    return f"{exact[:-1]}%2A" if exact.endswith("*") else exact
