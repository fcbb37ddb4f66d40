"""Tests of benches: the evaluation of a sink's log, the picture and the table."""

import bench_growth
import bench_sizes
import json
import pytest
from bench import from_json
from bench_arrivals import RunResult, read
from bench_figures import Row, System, made_by, rounded, table, to_json
from bench_picture import draw
from pathlib import Path
from rich.console import Console
from typing import Any
from xml.etree import ElementTree

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
LOG = """\
1700000000.100 1700000000100 run2.0
1700000000.103 1700000000100 run2.1
1700000000.150 1700000000100 run1.7
1700000000.199 1700000000200 run2.2
1700000000.300 1700000000100 run2.1
1700000000.350 1700000000100 run2.3
1700000000.999 17000"""


def result() -> RunResult:
    return RunResult.of(read(LOG, run="run2"), expected=5)


def test_lost_early_and_duplicate_deliveries_of_one_run_are_counted():
    run = result()

    assert (run.delivered, run.lost, run.early, run.duplicates) == (4, 1, 1, 1)
    assert run.faults() == "1 lost, 1 early, 1 twice"


def test_lateness_counts_the_first_arrival_of_each_delivery():
    assert result().late_ms == [-1, 0, 3, 250]
    assert [result().late_at(share) for share in (0, 0.5, 0.99, 1)] == [-1, 3, 250, 250]


def test_deliveries_are_counted_by_lateness_below_each_bound():
    below = result().below_ms()

    assert [below[bound] for bound in ("1", "2", "5", "200", "500")] == [2, 2, 3, 3, 4]


def test_the_drain_rate_is_measured_until_each_delivery_has_arrived_once():
    assert result().drain_per_s == 4 / 0.25


def test_a_run_without_arrivals_has_lost_all_deliveries():
    run = RunResult.of(read(LOG, run="run3"), expected=5)

    assert (run.delivered, run.lost) == (0, 5)


def test_a_ratio_is_the_median_over_rounds_and_missing_if_compared_with_zero():
    row = Row.of_rounds("burst", "per s", [1, 8, 3], beside=[2, 4, 4], of="bare")
    beside_zeros = Row.of_rounds("paced", "ms", [1, 2], beside=[0, 0], of="bare")

    assert (row.ours, row.beside, row.ratio) == (3, 4, 0.75)
    assert beside_zeros.ratio is None


@pytest.mark.parametrize(
    ("figure", "text"),
    [(12345.6, "12,346"), (12.34, "12.3"), (0.456, "0.46"), (0.0, "0"), (3.0, "3")],
)
def test_figures_are_rounded_by_their_size(figure: float, text: str):
    assert rounded(figure) == text


def test_figures_can_be_written_as_json_drawn_and_tabulated():
    made = made_by("scripts/bench", {"nginx": "1.22"})
    rows = [Row.of_rounds("burst", "per s", [3.0], beside=[4.0], of="bare client")]
    systems = [System("Ours", "1", drain_per_s=9_876.0, workers=2)]

    written = json.loads(json.dumps(to_json(made, rows, systems)))
    picture = texts(from_json([written]))
    with (console := Console(width=100)).capture() as printed:
        console.print(table(rows))

    assert {"Ours 1, 2 workers", "9,876"} <= picture
    assert any(text.startswith("scripts/bench,") for text in picture)
    assert "0.75" in printed.get()


def texts(svg: str) -> set[str]:
    """Return the texts in an SVG picture; fail if the XML is not well-formed."""
    return {element.text or "" for element in ElementTree.fromstring(svg).iter()}


def test_each_system_is_drawn_in_its_own_colour():
    ours = System.paced("Ours", "1", per_s=200, run=result())
    heavy = System.paced("Ours", "1", per_s=1_000, run=result())
    other = System.paced("<Other> & co", "2", per_s=200, run=result())

    root = ElementTree.fromstring(draw([ours, heavy, other], ["made & drawn"]))

    # Each of the three systems has two lines: a curve, and a sample in the legend.
    curves = [line.attrib for line in root.iter(f"{SVG}polyline")]
    assert len(curves) == 6
    assert curves[0]["stroke"] == curves[2]["stroke"] != curves[4]["stroke"]
    assert "stroke-dasharray" in curves[2] and "stroke-dasharray" not in curves[0]
    assert "<Other> & co 2, 200/s" in texts(draw([other], []))


def load(name: str) -> Any:
    return json.loads((DOCS / name).read_text())


def test_the_picture_in_the_docs_shows_the_figures_in_the_docs():
    svg = (DOCS / "bench.svg").read_text()
    sources = [load("bench.json"), load("peers.json")]

    assert svg == from_json(sources)


def test_the_growth_page_in_the_docs_shows_the_figures_in_the_docs():
    assert (
        bench_growth.markdown(load("growth.json")) in (DOCS / "growth.md").read_text()
    )


def test_the_sizing_page_in_the_docs_shows_the_figures_in_the_docs():
    tables = bench_sizes.markdown(load("bench.json"), load("sizing.json"))

    assert tables in (DOCS / "sizing.md").read_text()


def test_a_new_table_replaces_the_old_one(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text((DOCS / "growth.md").read_text())
    figures = load("growth.json")
    figures["rows"] = figures["rows"][:1]

    bench_growth.update_page(page, figures)
    once = page.read_text()
    bench_growth.update_page(page, figures)

    assert page.read_text() == once
    assert bench_growth.markdown(figures) in once
    assert once.endswith((DOCS / "growth.md").read_text()[-200:])
