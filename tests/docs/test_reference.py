"""The reference: everything that exists is documented, and everything documented exists."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator

import pytest

import roadworthy
from roadworthy import Service, errors
from roadworthy.catalogue import catalogue
from roadworthy.check.refusal import REFUSED, REFUSED_TITLE
from roadworthy.check.rules import RULES
from roadworthy.check.rules.probes import PROBE_PATHS
from roadworthy.cli.main import parser
from roadworthy.http.probes import PATHS
from roadworthy.http.security_headers import DEFAULT
from roadworthy.runtime.settings import VARIABLES

from .markdown import first_cells, headings, read, section


def test_every_setting() -> None:
    text = read("reference/settings.md")
    documented = [cell for cell in first_cells(text) if cell.isupper()]
    assert sorted(documented) == sorted(variable.name for variable in VARIABLES.values())
    for variable in VARIABLES.values():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{variable.name}` "))
        default = "none" if variable.default is None else f"`{variable.default}`"
        assert row.split("|")[2].strip() == default, f"the default of {variable.name}"


def test_every_metric_with_its_kind_and_labels() -> None:
    text = read("reference/metrics.md")
    exported = catalogue(Service("shop").spec)
    assert sorted(first_cells(text)) == sorted(metric.name for metric in exported)
    rows = {line.split("`")[1]: line.split("|") for line in text.splitlines() if line.startswith("| `")}
    for metric in exported:
        _, _, kind, labels, _, _ = rows[metric.name]
        assert kind.strip() == metric.kind, metric.name
        documented = re.findall(r"(?:^|; )`(\w+)`", labels.strip())
        assert documented == [*metric.label_names, *(["process"] if metric.across == "each" else [])], metric.name
        for label in metric.labels:
            for value in label.values or ():
                assert f"`{value}`" in labels, f"{metric.name}: {value}"


def test_every_error() -> None:
    existing = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.RoadworthyError)
    ]
    assert first_cells(read("reference/errors.md")) == existing


def test_every_rule_with_its_title_and_weight() -> None:
    text = read("reference/rules.md")
    documented = headings(text)[1:]
    assert documented == [REFUSED, *(rule.id for rule in RULES)]
    titles = {REFUSED: (REFUSED_TITLE, "error")} | {rule.id: (rule.title, rule.weight) for rule in RULES}
    for id, (title, weight) in titles.items():
        assert section(text, id).strip().startswith(f"*{title}.* {weight.capitalize()}."), id


def test_every_public_name() -> None:
    names = section(f"\n## Names\n{read('reference/public-names.md')}", "Names")
    assert first_cells(names) == list(roadworthy.__all__)


def test_every_method_of_a_service() -> None:
    documented = {cell.partition("(")[0] for cell in first_cells(section(read("reference/public-names.md"), "Service"))}
    # What a service offers to the runtime rather than to its author.
    internal = {"bind", "binding", "bound", "secret_values", "spec"}
    methods = {name for name in dir(Service) if not name.startswith("_")}
    assert documented == methods - internal


def test_every_probe() -> None:
    documented = first_cells(section(f"\n## Paths\n{read('reference/probes.md')}", "Paths"))
    assert sorted(documented) == sorted([*PATHS, "/metrics"])
    assert set(PROBE_PATHS) == PATHS


def test_every_response_header() -> None:
    documented = {cell.lower() for cell in first_cells(section(read("reference/http.md"), "Response headers"))}
    always = {name.decode() for name, _ in DEFAULT.plain}
    assert documented == always | {"x-request-id", "strict-transport-security", "connection"}


def _commands(root: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = (action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def _options(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _options(inner)
        else:
            yield from (option for option in action.option_strings if option not in ("-h", "--help"))


def test_every_command_with_its_options() -> None:
    text = read("reference/commands.md")
    commands = _commands(parser())
    assert headings(text)[1:] == list(commands)
    for name, command in commands.items():
        documented = {cell for cell in first_cells(section(text, name)) if cell.startswith("-")}
        assert documented == set(_options(command)), name


@pytest.mark.parametrize("command", ["jobs", "keys", "database"])
def test_every_action_of_a_command(command: str) -> None:
    actions = _commands(_commands(parser())[command])
    documented = [
        cell for cell in first_cells(section(read("reference/commands.md"), command)) if not cell.startswith("-")
    ]
    assert documented == [f"{command} {action}" for action in actions]


def test_every_name_for_tests() -> None:
    from roadworthy import testing

    documented = first_cells(section(read("reference/public-names.md"), "roadworthy.testing"))
    assert sorted(cell.partition("(")[0] for cell in documented) == testing.__all__
