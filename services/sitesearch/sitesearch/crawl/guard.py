"""Which hosts, ports and addresses a crawl may connect to: the public internet, and what the operator names."""

from __future__ import annotations

from collections.abc import Mapping

from roadworthy.security.egress import EgressGuard

ALLOW_VARIABLE = "SITESEARCH_ALLOW_HOSTS"


def guard_of(environ: Mapping[str, str]) -> EgressGuard:
    """Return the guard that SITESEARCH_ALLOW_HOSTS describes: hosts or host:port pairs, separated by commas.

    This service's own port is exempt too: its documentation is the first site that people index, and what it serves
    there it serves to everybody.

    Raises:
        ValueError: an entry that is neither.
    """
    own = int(environ.get("ROADWORTHY_PORT") or "8000")
    itself = (("127.0.0.1", own), ("localhost", own))
    return EgressGuard.parse(environ.get(ALLOW_VARIABLE, ""), variable=ALLOW_VARIABLE, also=itself)
