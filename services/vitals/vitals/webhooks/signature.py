"""How the aggregator signs its webhooks.

    vitals-signature: t=1767225600,v1=5257a869e7ec...,v1=1d9f4b27c0aa...

`t` is Unix time in seconds; each `v1` is the HMAC-SHA256 of it, a dot, and the body as it came.
"""

from __future__ import annotations

from roadworthy.security.webhook import WebhookFormat

HEADER = "vitals-signature"
FORMAT = WebhookFormat("vitals", HEADER, "v1=", ",", moment="t", before="{moment}.")
