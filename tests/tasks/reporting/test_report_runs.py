import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from tasks.reporting.runs import write_runs_part
from tasks.reporting.studies import write_studies_part
from tasks.tables import schema
from tasks.tables.history import append_run
from tasks.tables.schema import Layout
from tasks.tables.store import write_table


def run(day, m_ap, outcome="completed"):
    return {
        "started_utc": datetime(2026, 5, 1, tzinfo=UTC) + timedelta(days=day),
        "duration_s": 12.5,
        "trigger": "<i>flow</i>",
        "outcome": outcome,
        "git_commit": "c0ffee",
        "params_sha256": "p" * 64,
        "dvc_lock_sha256": None,
        "n_images": 3,
        "n_rejected": 0,
        "n_generated": 24,
        "n_quarantined": 1,
        "metrics_json": f'{{"base": {{"mAP": {m_ap}}}}}',
        "stage_seconds_json": '{"index": 1.5}',
        "machine": "x86_64, 2 cores",
    }


def part(layout, name):
    """The HTML that the script hands to its page."""
    script = (layout.reports / "local" / f"{name}.js").read_text(encoding="utf-8")
    assert "<" not in script
    return json.loads(script.removeprefix(f'pose2id.add("local", "{name}", ').removesuffix(");\n"))


def page(root, runs):
    layout = Layout(root)
    if runs:
        table = pa.Table.from_pylist(runs, schema=schema.RUNS)
        write_table(layout.runs, table, producer="history")
    write_runs_part(layout)
    return part(layout, "runs")


def test_without_runs_the_page_says_how_to_record_one(tmp_path):
    assert "No run is recorded yet" in page(tmp_path, [])


def test_runs_are_listed_newest_first_and_escaped(tmp_path):
    html = page(tmp_path, [run(0, 0.1), run(1, 0.2, "score failed"), run(2, 0.3)])
    assert html.index("2026-05-03") < html.index("2026-05-02") < html.index("2026-05-01")
    assert "✕ score failed" in html
    assert "&lt;i&gt;flow" in html
    assert "index 1.5 s" in html
    assert "c0ffee" in html


def test_a_failed_run_is_not_credited_with_the_scores_it_found(tmp_path):
    html = page(tmp_path, [run(0, 0.1), run(1, 0.77, "score failed")])
    assert "10.0" in html
    assert "77.0" not in html


@pytest.mark.parametrize(("outcome", "kept"), [("completed", True), ("score failed", False)])
def test_only_a_completed_run_records_scores(tmp_path, outcome, kept):
    layout = Layout(tmp_path)
    layout.results.mkdir(parents=True)
    (layout.results / "metrics.json").write_text('{"base": {"mAP": 0.5}}')
    row = append_run(
        tmp_path,
        started=datetime(2026, 5, 1, tzinfo=UTC),
        duration_s=1.0,
        trigger="flow",
        outcome=outcome,
        stage_seconds={},
    )
    assert ("0.5" in row["metrics_json"]) == kept


def test_two_runs_make_a_history_curve(tmp_path):
    html = page(tmp_path, [run(0, 0.1), run(1, 0.2)])
    plots = list((tmp_path / "reports/local/runs").glob("*.svg"))
    assert [plot.name in html for plot in plots] == [True]


def test_a_page_of_runs_is_bounded(tmp_path):
    html = page(tmp_path, [run(day, 0.5) for day in range(130)])
    assert "The last 100 of 130 runs" in html
    assert html.count("<section>") == 100


def test_old_curves_do_not_pile_up(tmp_path):
    page(tmp_path, [run(0, 0.1), run(1, 0.2)])
    page(tmp_path, [run(0, 0.1), run(1, 0.2), run(2, 0.4)])
    assert len(list((tmp_path / "reports/local/runs").glob("*.svg"))) == 1


def test_without_studies_the_page_says_how_to_make_them(tmp_path):
    write_studies_part(Layout(tmp_path))
    text = part(Layout(tmp_path), "studies")
    assert "pose2id ablate" in text
    assert "pose2id tune" in text
    assert "<img" not in text


def test_the_page_of_studies_shows_the_ablation_and_its_plot(tmp_path):
    layout = Layout(tmp_path)
    setting = {"mINP": 0.1, "rank_1": 0.2, "id2": 0.5}
    rows = [{"study": "steps", "setting": "base", "value": None, "mAP": 0.25, **setting}]
    for study, name in (("poses", "IPG"), ("k", "NFC"), ("k", "IPG and NFC"), ("eta", "IPG")):
        rows += [
            {"study": study, "setting": name, "value": value, "mAP": 0.5, **setting}
            for value in (1.0, 2.0)
        ]
    table = pa.Table.from_pylist(rows, schema=schema.ABLATION)
    write_table(layout.ablation, table, producer="ablation")
    write_studies_part(layout)
    text = part(Layout(tmp_path), "studies")
    assert "IPG and NFC" in text
    assert "25.0" in text
    assert (tmp_path / "reports" / "local" / "studies" / "ablation.svg").is_file()
