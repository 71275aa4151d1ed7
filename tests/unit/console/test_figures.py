"""Figures and charts: nothing is lost between hours and days, and every bar is where it belongs."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ari_app.console.charts import HALF_WIDTH, HEIGHT, LEFT, TOP, WIDTH, Series, percentages, side_by_side, stacked
from ari_app.console.figures import Buckets, by_status, coloured, of_groups
from ari_app.console.reporting import Days
from ari_app.store.group_figures import GroupFigures, GroupRow
from ari_app.store.record_charts import HourOfStatus
from ari_app.store.record_filters import STATUSES

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe"])
DAYS = st.builds(
    lambda first, count, zone: Days(first, first + timedelta(days=count), zone),
    st.dates(date(2025, 1, 1), date(2027, 1, 1)),
    st.integers(0, 40),
    ZONES,
)
NUMBERS = st.lists(st.integers(0, 10_000), min_size=1, max_size=60)


@given(DAYS, st.data())
def test_every_hour_is_in_one_bucket(days: Days, data: st.DataObject) -> None:
    assert days.since is not None
    assert days.until is not None
    buckets = Buckets.of(days)
    assert len(buckets.starts) == len(buckets.labels)
    assert list(buckets.starts) == sorted(set(buckets.starts))
    assert buckets.starts[0] == days.since
    length = int((days.until.timestamp() - days.since.timestamp()) // 1800) - 1
    at = st.integers(0, length).map(lambda n: days.since.astimezone(UTC) + n * timedelta(minutes=30))  # type: ignore[union-attr]
    hours = data.draw(st.lists(st.builds(HourOfStatus, at, st.sampled_from(STATUSES), st.integers(1, 99)), max_size=30))
    counts = by_status(buckets, hours)
    assert sum(map(sum, counts.values())) == sum(hour.calls for hour in hours)
    assert sum(sum(one.values) for one in coloured(counts)) == sum(hour.calls for hour in hours)
    rows = [
        GroupRow(hour.hour, hour.status, GroupFigures(hour.calls, hour.calls, wait_seconds=3.0 * hour.calls))
        for hour in hours
    ]
    table = of_groups(buckets, rows)
    assert sum(figures.calls for figures in table.groups.values()) == table.all.calls
    assert table.all.calls == sum(figures.calls for _, _, figures in table.rows) == sum(hour.calls for hour in hours)
    assert table.all.average_wait is None or abs(table.all.average_wait - 3) < 1e-9


def test_the_day_on_which_summer_time_ends_has_25_hours() -> None:
    buckets = Buckets.of(Days(date(2026, 10, 25), date(2026, 10, 25), "Europe/Berlin"))
    assert len(buckets.starts) == 25
    assert buckets.labels[1:5] == ("01:00", "02:00", "02:00", "03:00")
    assert buckets.index(datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) == 2
    assert buckets.index(datetime(2026, 10, 25, 1, 30, tzinfo=UTC)) == 3


@given(st.lists(st.tuples(*[st.integers(0, 5000)] * 3), min_size=1, max_size=120))
def test_bars_stand_in_the_plot_and_are_as_high_as_their_values(columns: list[tuple[int, int, int]]) -> None:
    labels = [f"<{n}>" for n in range(len(columns))]
    series = [Series(f"s{n}", n + 1, [column[n] for column in columns]) for n in range(3)]
    for chart in (stacked(labels, series), side_by_side(labels, series, HALF_WIDTH)):
        highest = float(chart.y_ticks[-1].label)
        assert highest >= max(max(column) for column in columns)
        for bar in chart.bars:
            assert LEFT <= bar.x <= bar.x + bar.width <= chart.width <= WIDTH
            assert TOP - 0.01 <= bar.y <= bar.y + bar.height <= HEIGHT
        scale = (chart.y_ticks[0].at - chart.y_ticks[-1].at) / highest
        total = sum(bar.height for bar in chart.bars) / scale
        assert abs(total - sum(map(sum, columns))) < 0.01 * max(1, total)
        xs = [tick.at for tick in chart.x_ticks]
        assert all(b - a >= 50 for a, b in pairwise(xs))


@given(NUMBERS)
def test_marks_of_the_axis_are_whole_calls(values: list[int]) -> None:
    marks = [float(tick.label) for tick in stacked(["x"] * len(values), [Series("s", 1, values)]).y_ticks]
    assert marks == sorted(set(marks))
    assert all(mark == int(mark) for mark in marks)
    assert 2 <= len(marks) <= 8


def test_a_line_is_broken_where_nothing_is_known() -> None:
    chart = percentages(["a", "b", "c", "d"], "level", [100, None, 50, 0])
    assert [letter for letter in chart.line if letter.isalpha()] == ["M", "M", "L"]
    assert [title for _, _, title in chart.dots] == ["a: 100.0 %", "c: 50.0 %", "d: 0.0 %"]
    assert percentages([], "level", []).line == ""
    assert stacked([], []).bars == []
