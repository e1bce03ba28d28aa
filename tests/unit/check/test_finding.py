from __future__ import annotations

from roadworthy.check.finding import Finding, as_json, failed, render

LATE = Finding("RW031", "error", "shop/service.py:10", "alert 'A' names 'x'", "did you mean 'y'?")
EARLY = Finding("RW043", "warning", "shop/service.py:9", "alert 'B' is nervous", "wait")
BESIDE = Finding("RW010", "error", "shop/service.py:9", "queue 'q' has no job", "remove it")
WHOLE = Finding("RW020", "error", "service 'shop'", "no probes", "install")


def test_findings_are_grouped_by_place_in_the_order_of_lines() -> None:
    assert render((LATE, EARLY, BESIDE)) == (
        "shop/service.py:9\n"
        "  RW010 error: queue 'q' has no job\n"
        "        fix: remove it\n"
        "        see: docs/reference/rules/RW010.md\n"
        "  RW043 warning: alert 'B' is nervous\n"
        "        fix: wait\n"
        "        see: docs/reference/rules/RW043.md\n"
        "shop/service.py:10\n"
        "  RW031 error: alert 'A' names 'x'\n"
        "        fix: did you mean 'y'?\n"
        "        see: docs/reference/rules/RW031.md\n"
        "2 errors, 1 warning"
    )


def test_a_place_without_a_line_is_shown_too() -> None:
    assert render((WHOLE,)).startswith("service 'shop'\n  RW020 error: no probes")


def test_nothing_found_is_said() -> None:
    assert render(()) == "no findings"


def test_json_has_every_field_in_the_order_of_the_text() -> None:
    assert as_json((LATE, EARLY)) == [
        {
            "rule": "RW043",
            "weight": "warning",
            "place": "shop/service.py:9",
            "message": "alert 'B' is nervous",
            "fix": "wait",
            "page": "docs/reference/rules/RW043.md",
        },
        {
            "rule": "RW031",
            "weight": "error",
            "place": "shop/service.py:10",
            "message": "alert 'A' names 'x'",
            "fix": "did you mean 'y'?",
            "page": "docs/reference/rules/RW031.md",
        },
    ]


def test_only_an_error_fails() -> None:
    assert failed((EARLY, LATE))
    assert not failed((EARLY,))
    assert not failed(())
