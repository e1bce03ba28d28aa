from __future__ import annotations

import pytest

from roadworthy.edge.invalidation import Target, invalidates, targets


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("POST", 200, True),
        ("POST", 303, True),
        ("DELETE", 204, True),
        ("M-SEARCH", 200, True),
        ("POST", 400, False),
        ("POST", 500, False),
        ("GET", 200, False),
        ("OPTIONS", 200, False),
        ("PROPFIND", 207, False),
    ],
)
def test_what_changes_something_and_succeeds(method: str, status: int, expected: bool) -> None:
    assert invalidates(method, status) is expected


def test_targets_are_of_the_same_origin() -> None:
    headers = [
        (b"location", b"other?x=1"),
        (b"content-location", b"http://example.org:80/caf%C3%A9"),
        (b"location", b"https://example.org/secure"),
        (b"location", b"http://example.com/elsewhere"),
        (b"location", b"http://[bad/"),
        (b"link", b"/unrelated"),
    ]
    assert targets("http://example.org/a/b?q=1", headers) == [
        Target("/a/other", b"/a/other", b"x=1"),
        Target("/café", b"/caf%C3%A9", b""),
    ]
