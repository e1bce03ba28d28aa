"""`roadworthy check` as people run it: what it must refuse, with the rule, the place and the fix."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from roadworthy.cli.main import main

HEAD = """\
from fastapi import FastAPI
from roadworthy import Service, seconds
service = Service("shop", version="1.0.0", owner="sales")
orders = service.counter("orders_total", "Orders taken.", labels={"paid": ("yes", "no")})
packing = service.histogram("packing_seconds", "Time to pack.", buckets=(1, 5, 15))
app = FastAPI()
app.get("/orders")(list)
"""
INSTALL = "app = service.install(app)\n"
LINE = HEAD.count("\n") + 1
"""Where a line put between the two stands."""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Check = Callable[..., Done]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Run the command on a module of this source, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(source: str, *options: str) -> Done:
        (tmp_path / "shop.py").write_text(source)
        sys.modules.pop("shop", None)
        importlib.invalidate_caches()
        code = main(["check", "shop.py", *options])
        sys.modules.pop("shop", None)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run


def alert(expression: str) -> str:
    return f"service.alert('A', expr='''{expression}''', severity='warning', runbook='Look.')\n"


REFUSED = {
    "an alert on an unknown metric": ("RW031", alert("rate(order_total[5m]) > 1"), "did you mean 'orders_total'?"),
    "an alert matching an unknown label": (
        "RW032",
        alert('rate(orders_total{payd="yes"}[5m]) > 1'),
        "did you mean 'paid'?",
    ),
    "an alert matching an unknown value": (
        "RW033",
        alert('rate(orders_total{paid="yess"}[5m]) > 1'),
        "did you mean 'yes'?",
    ),
    "an alert grouping by an unknown label": (
        "RW034",
        alert("sum by (payd) (rate(orders_total[5m])) > 1"),
        "did you mean 'paid'?",
    ),
    "an alert that is no PromQL": ("RW030", alert("rate(orders_total[5m] > 1"), "correct the expression"),
    "an objective on an unknown metric": (
        "RW031",
        "service.slo('p', objective=0.9, under=seconds(5), metric='paking_seconds')\n",
        "did you mean 'packing_seconds'?",
    ),
    "an objective on an unknown route": (
        "RW052",
        "service.slo('p', objective=0.9, under=seconds(5), route='GET /ordres')\n",
        "did you mean 'GET /orders'?",
    ),
    "an objective whose threshold is no bucket": (
        "RW051",
        "service.slo('p', objective=0.9, under=seconds(7), metric='packing_seconds')\n",
        "add 7 to buckets=",
    ),
    "a queue without a job": ("RW010", "service.queue('mail')\n", "job()"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_declaration_that_cannot_work_is_refused(case: str, check: Check) -> None:
    rule, line, fix = REFUSED[case]
    done = check(HEAD + line + INSTALL)
    assert done.returncode == 1, done.stderr
    place, finding, advice, see, total = done.stdout.splitlines()
    assert place == f"shop.py:{LINE}"
    assert finding.startswith(f"  {rule} error: ")
    assert advice.startswith("        fix: ")
    assert fix in advice
    assert see == f"        see: docs/reference/rules/{rule}.md"
    assert total == "1 error"


@pytest.mark.parametrize(
    "twice",
    [
        "service.queue('mail')\n",
        "service.gauge('stock_items', 'Items.')\n",
        "service.slo('p', objective=0.9)\n",
        alert("rate(orders_total[5m]) > 1"),
        "@service.queue('q' + str(len(service.spec.queues))).job()\nasync def ship() -> None: ...\n",
    ],
)
def test_two_handles_of_one_name(twice: str, check: Check) -> None:
    done = check(HEAD + twice + twice + INSTALL)
    assert done.returncode == 1, done.stderr
    place, finding, advice, _, _ = done.stdout.splitlines()
    assert place == f"shop.py:{LINE + twice.count(chr(10))}"
    assert finding.startswith("  RW001 error: ")
    assert f"is already declared at shop.py:{LINE}" in finding
    assert advice == "        fix: rename one of them"


def test_an_application_that_nobody_wrapped(check: Check) -> None:
    done = check(HEAD)
    assert done.returncode == 1, done.stderr
    assert "RW020 error" in done.stdout
    assert "/livez" in done.stdout
    assert done.stdout.startswith("shop.py:3\n")


def test_an_application_that_is_named_and_not_the_wrapped_one(check: Check) -> None:
    source = HEAD.replace('owner="sales"', 'owner="sales", app="shop:app"')
    assert "RW020" in check(source).stdout
    assert "RW020" in check(f"{source}service.install(app)\n").stdout
    assert check(source + INSTALL).stdout == "no findings\n"


def test_an_application_mounted_below_another_one(check: Check) -> None:
    source = HEAD.replace('owner="sales"', 'owner="sales", app="shop:whole"')
    assert "RW020" in check(f"{source}{INSTALL}whole = FastAPI()\nwhole.mount('/api', app)\n").stdout


def test_a_route_at_a_probes_path(check: Check) -> None:
    done = check(f"{HEAD}app.get('/livez')(print)\n{INSTALL}")
    assert done.returncode == 1
    assert "RW021" in done.stdout


def test_a_sound_declaration_passes(check: Check) -> None:
    sound = "service.slo('p', objective=0.9, under=seconds(5), metric='packing_seconds')\n"
    done = check(HEAD + sound + INSTALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no findings\n", "")


def test_json_for_programs(check: Check) -> None:
    done = check(HEAD + "service.queue('mail')\n" + INSTALL, "--json")
    assert done.returncode == 1
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"] is False
    (finding,) = report["findings"]
    assert set(finding) == {"rule", "weight", "place", "message", "fix", "page"}
    assert (finding["rule"], finding["place"]) == ("RW010", f"shop.py:{LINE}")


def test_what_cannot_be_imported_is_bad_input(check: Check) -> None:
    done = check("import nothing_of_that_name\n")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_rules_can_be_selected_and_left_out(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    source = HEAD + "service.queue('mail')\n" + INSTALL
    assert check(source, "--select", "RW031").returncode == 0
    assert check(source, "--select", "RW031,RW010").returncode == 1
    assert check(source, "--ignore", "RW010").stdout == "no findings\n"
    with pytest.raises(SystemExit) as ended:
        check(source, "--ignore", "RW999")
    assert ended.value.code == 2
    assert "RW999 is no rule" in capsys.readouterr().err


def test_sarif_for_code_scanning(check: Check) -> None:
    done = check(HEAD + "service.queue('mail')\n" + INSTALL, "--format", "sarif")
    assert done.returncode == 1
    (result,) = json.loads(done.stdout)["runs"][0]["results"]
    assert result["ruleId"] == "RW010"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": LINE}


def test_a_directory_that_is_not_there_is_bad_input(check: Check) -> None:
    done = check(HEAD + INSTALL, "--deploy", "nowhere")
    assert done.returncode == 2
    assert "emit it first" in done.stderr
