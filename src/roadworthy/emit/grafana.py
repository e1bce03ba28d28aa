"""Dashboards as Grafana 11 reads them.

Format: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from string import ascii_uppercase

from roadworthy.emit.dashboard import Dashboard, Panel, Query, Shape, Threshold, Variable
from roadworthy.emit.indicator import selected
from roadworthy.emit.layout import COLUMNS, Place, placed
from roadworthy.errors import MissingExtra
from roadworthy.service import ServiceSpec
from roadworthy.telemetry.metrics import INFORMATION

try:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common, dashboard, prometheus, stat, table, timeseries
except ImportError as error:
    raise MissingExtra("`roadworthy emit`", "emit") from error

DATASOURCE = "prometheus"
"""The uid of the data source that is provisioned, and the type of those that a reader can choose from."""

MAY_BE_EMPTY = "May be empty: "
"""How the sentence of a panel's description begins that says why it may have no data."""

_LONGEST_UID = 40
_LOWEST = -1e12
"""What the first colour begins at: Grafana takes it for minus infinity whatever it is, its schema wants a number."""
_SOURCE = dashboard.DataSourceRef(DATASOURCE, "${datasource}")
_GREEN, _RED, _ORANGE, _BLUE = "green", "red", "orange", "blue"


def written(board: Dashboard, spec: ServiceSpec, runbooks: str) -> str:
    """Return the file of a dashboard. `runbooks` is the address below which runbooks are.

    Raises:
        MissingExtra: when the module is imported, where what writes dashboards is not installed.
    """
    made = dashboard.Dashboard(
        uid=uid(spec.name, board.name),
        title=f"{spec.name}: {board.title}",
        tags=["roadworthy", spec.name],
        timezone="browser",
        editable=False,
        graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
        time=dashboard.DashboardDashboardTime("now-6h", "now"),
        timepicker=dashboard.TimePickerConfig(refresh_intervals=["10s", "30s", "1m", "5m", "15m", "1h"]),
        refresh="30s",
        panels=list(_panels(board, spec, runbooks)),
        templating=dashboard.DashboardDashboardTemplating(list(_variables(board))),
        annotations=dashboard.AnnotationContainer(list(_annotations(spec.name))),
        links=[_others(spec.name)],
    )
    return json.dumps(made, cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"


def uid(service: str, board: str) -> str:
    """Return by what Grafana knows a dashboard, the same for ever: both names, of a long one its beginning."""
    whole = f"{service}-{board}"
    if len(whole) <= _LONGEST_UID:
        return whole
    digest = hashlib.sha256(service.encode()).hexdigest()[:8]
    return f"{service[: _LONGEST_UID - len(board) - len(digest) - 2]}-{digest}-{board}"


def _panels(board: Dashboard, spec: ServiceSpec, runbooks: str) -> Iterator[dashboard.Panel | dashboard.RowPanel]:
    number, top = 1, 0
    for row in board.rows:
        yield dashboard.RowPanel(
            title=row.title, id_val=number, grid_pos=dashboard.GridPos(1, COLUMNS, 0, top), panels=[]
        )
        number, top = number + 1, top + 1
        for panel, place in placed(row, top):
            yield _panel(panel, place, number, f"{runbooks.rstrip('/')}/{spec.name}")
            number, top = number + 1, max(top, place.y)
        top += place.height


def _panel(panel: Panel, place: Place, number: int, runbooks: str) -> dashboard.Panel:
    empty = f"{MAY_BE_EMPTY}{panel.may_be_empty}" if panel.may_be_empty else ""
    return dashboard.Panel(
        type_val=panel.shape,
        id_val=number,
        title=panel.title,
        description=" ".join(part for part in (panel.description, empty) if part) or None,
        datasource=_SOURCE,
        grid_pos=dashboard.GridPos(place.height, place.width, place.x, place.y),
        targets=[_target(query, letter, panel.shape) for query, letter in zip(panel.queries, _letters(), strict=False)],
        options=_options(panel.shape),
        field_config=dashboard.FieldConfigSource(_fields(panel), []),
        links=[_link(f"What to do about {panel.alert}", f"{runbooks}/{panel.alert}.md")] if panel.alert else None,
    )


def _letters() -> Iterator[str]:
    yield from ascii_uppercase
    for first in ascii_uppercase:
        yield from (first + second for second in ascii_uppercase)


def _target(query: Query, letter: str, shape: Shape) -> prometheus.Dataquery:
    over_time = shape == "timeseries"
    return prometheus.Dataquery(
        expr=query.expression,
        ref_id=letter,
        legend_format=query.legend or None,
        instant=not over_time,
        range_val=over_time,
        editor_mode=prometheus.QueryEditorMode.CODE,
        format_val=prometheus.PromQueryFormat.TABLE if shape == "table" else prometheus.PromQueryFormat.TIME_SERIES,
        datasource=_SOURCE,
    )


def _options(shape: Shape) -> object:
    match shape:
        case "timeseries":
            return timeseries.Options(
                legend=common.VizLegendOptions(
                    common.LegendDisplayMode.LIST, common.LegendPlacement.BOTTOM, True, calcs=[]
                ),
                tooltip=common.VizTooltipOptions(common.TooltipDisplayMode.MULTI, common.SortOrder.DESCENDING),
            )
        case "stat":
            return stat.Options(
                graph_mode=common.BigValueGraphMode.NONE,
                reduce_options=common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields=""),
            )
        case "table":
            return table.Options()


def _fields(panel: Panel) -> dashboard.FieldConfig:
    mappings: list[dashboard.ValueMapping] = []
    if panel.values:
        words = {str(number): dashboard.ValueMappingResult(text=word) for number, word in panel.values.items()}
        mappings.append(dashboard.ValueMap(words))
    return dashboard.FieldConfig(
        unit=panel.unit,
        mappings=mappings,
        thresholds=dashboard.ThresholdsConfig(dashboard.ThresholdsMode.ABSOLUTE, _steps(panel.threshold)),
        color=dashboard.FieldColor(
            dashboard.FieldColorModeId.THRESHOLDS
            if panel.shape == "stat"
            else dashboard.FieldColorModeId.PALETTE_CLASSIC
        ),
        no_value=panel.may_be_empty or None,
        custom=_lines(panel) if panel.shape == "timeseries" else None,
    )


def _lines(panel: Panel) -> common.GraphFieldConfig:
    style = common.GraphThresholdsStyleMode.OFF
    if panel.threshold is not None:
        style = common.GraphThresholdsStyleMode.DASHED
    return common.GraphFieldConfig(
        draw_style=common.GraphDrawStyle.LINE,
        line_width=1,
        fill_opacity=10,
        show_points=common.VisibilityMode.NEVER,
        axis_soft_min=0,
        thresholds_style=common.GraphThresholdsStyleConfig(style),
    )


def _steps(threshold: Threshold | None) -> list[dashboard.Threshold]:
    """Return the colours from each value on."""
    if threshold is None:
        return [dashboard.Threshold(_LOWEST, _GREEN)]
    if threshold.side == "below":
        return [dashboard.Threshold(_LOWEST, _RED), dashboard.Threshold(threshold.value, _GREEN)]
    steps = [dashboard.Threshold(_LOWEST, _GREEN), dashboard.Threshold(threshold.value, _RED)]
    if threshold.side == "at":
        # What is compared so is a state, and states are whole numbers.
        steps.append(dashboard.Threshold(threshold.value + 1, _GREEN))
    return steps


def _variables(board: Dashboard) -> Iterator[dashboard.VariableModel]:
    yield dashboard.VariableModel(
        type_val=dashboard.VariableType.DATASOURCE,
        name="datasource",
        label="Data source",
        query=DATASOURCE,
        current=dashboard.VariableOption(text="Prometheus", value=DATASOURCE),
    )
    for variable in board.variables:
        yield _variable(variable)


def _variable(variable: Variable) -> dashboard.VariableModel:
    return dashboard.VariableModel(
        type_val=dashboard.VariableType.QUERY,
        name=variable.label,
        label=variable.label.capitalize(),
        query=f"label_values({variable.selector}, {variable.label})",
        datasource=_SOURCE,
        multi=True,
        include_all=True,
        # A series without the label is shown as well.
        all_value=".*",
        current=dashboard.VariableOption(text=["All"], value=["$__all"]),
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
    )


def _annotations(service: str) -> Iterator[dashboard.AnnotationQuery]:
    runs = selected(INFORMATION.name, {"service": service})
    now, before = (f"sum by (service_version) ({runs}{offset})" for offset in ("", " offset 2m"))
    yield _annotation("Deploys", f"{now} unless {before}", _BLUE)
    for name, severity, colour in (
        ("Critical alerts", "critical", _RED),
        ("Other alerts", "warning|business", _ORANGE),
    ):
        alerts = selected("ALERTS", {"service": service, "alertstate": "firing"}, f'severity=~"{severity}"')
        yield _annotation(name, f"max by (alertname) ({alerts})", colour)


def _annotation(name: str, expression: str, colour: str) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery(name=name, datasource=_SOURCE, enable=True, icon_color=colour, expr=expression)


def _others(service: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(
        title="Other boards",
        type_val=dashboard.DashboardLinkType.DASHBOARDS,
        icon="external link",
        tags=[service],
        as_dropdown=True,
        keep_time=True,
    )


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(
        title=title, type_val=dashboard.DashboardLinkType.LINK, url=url, tags=[], target_blank=True
    )
