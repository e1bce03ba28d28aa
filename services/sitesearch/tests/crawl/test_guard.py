"""Where a crawl may connect to: what the operator named, and the service itself. The rules are the platform's."""

from __future__ import annotations

import pytest

from roadworthy import EgressRefused
from sitesearch.crawl.guard import guard_of


def test_the_operator_exempts_hosts() -> None:
    guard = guard_of({"SITESEARCH_ALLOW_HOSTS": " localhost , 127.0.0.1:8001"})
    assert guard.allowed > {("localhost", None), ("127.0.0.1", 8001)}
    guard.vet_target("127.0.0.1", 8001)


def test_the_message_names_the_setting() -> None:
    with pytest.raises(EgressRefused, match=r"10\.0\.0\.1:80 in SITESEARCH_ALLOW_HOSTS"):
        guard_of({}).vet_target("10.0.0.1", 80)


def test_the_service_itself_is_exempt_and_nothing_beside_it() -> None:
    assert guard_of({}).allowed == {("127.0.0.1", 8000), ("localhost", 8000)}
    guard = guard_of({"ROADWORTHY_PORT": "8123"})
    guard.vet_target("127.0.0.1", 8123)
    with pytest.raises(EgressRefused):
        guard.vet_target("127.0.0.1", 9100)


def test_a_wrong_exemption_is_named() -> None:
    with pytest.raises(ValueError, match="SITESEARCH_ALLOW_HOSTS holds"):
        guard_of({"SITESEARCH_ALLOW_HOSTS": "host:port"})
