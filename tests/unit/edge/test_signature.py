from __future__ import annotations

from datetime import UTC, datetime

import pytest

from roadworthy.edge.signature import Credentials, signed

SUITE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
HOST = "https://example.amazonaws.com"

# AWS, "Signature Version 4 test suite": method, target (not yet encoded), headers, body, signed headers, signature.
VECTORS = {
    "get-vanilla": ("GET", "/", {}, b"", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-utf8": ("GET", "/ሴ", {}, b"", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    "get-space": (
        *("GET", "/example space/", {}, b"", ""),
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    "get-vanilla-query-order-key-case": (
        *("GET", "/?Param2=value2&Param1=value1", {}, b"", ""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "post-vanilla": ("POST", "/", {}, b"", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "post-vanilla-query": (
        *("POST", "/?Param1=value1", {}, b"", ""),
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    "post-header-value-case": (
        *("POST", "/", {"My-Header1": "VALUE1"}, b"", "my-header1"),
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-x-www-form-urlencoded": (
        *("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, b"Param1=value1", "content-type"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_published_vectors(name: str) -> None:
    method, target, headers, body, extra, signature = VECTORS[name]

    sent = signed(
        method, HOST + target, headers, body, credentials=SUITE, region="us-east-1", service="service", now=AT
    )

    names = ";".join(sorted(["host", "x-amz-date", *filter(None, [extra])]))
    assert sent["x-amz-date"] == "20150830T123600Z"
    assert sent["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_the_example_of_the_s3_reference() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    sent = signed(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        {"Range": "bytes=0-9", "x-amz-content-sha256": empty},
        b"",
        credentials=Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        region="us-east-1",
        service="s3",
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )

    assert sent["Authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_a_session_token_is_sent_and_signed_and_secrets_are_not_shown() -> None:
    temporary = Credentials("AKIDEXAMPLE", "wJalr-secret", "token-of-a-session")
    sent = signed("POST", HOST, {}, b"", credentials=temporary, region="us-east-1", service="cloudfront", now=AT)

    assert sent["x-amz-security-token"] == "token-of-a-session"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in sent["Authorization"]
    assert "secret" not in repr(temporary)
    assert "token-of" not in repr(temporary)
