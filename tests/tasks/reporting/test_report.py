import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pose2id.errors import DataError
from tasks.stages.report import OUTS, merge, plan, run_shard
from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, write_table
from tasks.tables.synthetic_mark import read_mark
from tests.tasks.factory import Spec, write_project

REPORT = {"identities": 6, "ranked_queries": 4, "map_points": 60}


def build(root, params):
    """Runs the stage and returns the text of the page."""
    reports = [run_shard(job) for job in plan(params, root, "")]
    merge(params, root, "", reports)
    return (root / "reports/index.html").read_text(encoding="utf-8")


def outs(root):
    """Every file of the stage's outs with its bytes."""
    reports = root / "reports"
    found = [p for out in OUTS for p in [reports / out, *(reports / out).rglob("*")]]
    return {p.relative_to(reports).as_posix(): p.read_bytes() for p in found if p.is_file()}


class Links(HTMLParser):
    """Collects what a page points to, and the alt text of its pictures."""

    def __init__(self, html):
        super().__init__()
        self.targets, self.alts, self.ids, self.tags = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.targets += [values[name] for name in ("src", "href") if values.get(name)]
        if tag == "img":
            self.alts.append(values.get("alt"))
        if "id" in values:
            self.ids.append(values["id"])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    params = write_project(root, Spec(identities=10, noise=2.0), report=REPORT)
    return root, params, build(root, params)


def test_the_page_has_the_six_sections_in_order(project):
    _, _, html = project
    found = re.findall(r'<section id="(\w+)">', html)
    assert found == ["results", "identities", "ranked", "space", "quality", "provenance"]


def test_the_results_table_shows_the_numbers_of_the_summary(project):
    root, _, html = project
    table = html[html.index('<table id="variants">') :].split("</table>")[0]
    for row in read_table(root / "data/results/summary.parquet").to_pylist():
        line = next(part for part in table.split("<tr") if f"<code>{row['variant']}</code>" in part)
        assert f">{100 * row['mAP']:.1f}<" in line
        assert f">{100 * row['rank_1']:.1f}<" in line
        assert f">{row['id2']:.3f}<" in line


def test_a_loss_is_said_as_plainly_as_a_gain(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    summary = Layout(tmp_path).results / "summary.parquet"
    rows = read_table(summary).to_pylist()
    for row in rows:
        row["mAP"] = {"base": 0.6, "nfc": 0.7}.get(row["variant"], 0.25)
        row["id2"] = {"base": 0.4}.get(row["variant"], 0.2)
    write_table(summary, schema.pa.Table.from_pylist(rows, schema=schema.SUMMARY), producer="s")
    html = build(tmp_path, params)
    assert "from\n60.0 % to <b>25.0 %</b>" in html
    assert "▼ \u221235.0" in html
    assert "The best variant here is <code>nfc</code> with 70.0 %." in html
    assert "ID2 fell although retrieval got worse" in html


def test_same_tables_give_the_same_bytes(project):
    root, params, _ = project
    before = outs(root)
    (root / "data/runs.parquet").unlink(missing_ok=True)
    other_runtime = params.model_copy(
        update={"runtime": params.runtime.model_copy(update={"workers": 7})}
    )
    build(root, other_runtime)
    assert outs(root) == before


SPACE = """
import sys
from pathlib import Path
from tasks.reporting.assets import Assets
from tasks.reporting.space import space_section
from tasks.reporting.tables import open_tables
from tasks.tables.schema import Layout
from tests.tasks.factory import params_of
root, folder = Path(sys.argv[1]), Path(sys.argv[2])
folder.mkdir()
with open_tables(Layout(root), params_of(report={"map_points": 400}), folder) as tables:
    print(space_section(tables, Assets(folder)))
"""


def test_the_map_does_not_depend_on_the_number_of_threads(tmp_path):
    write_project(tmp_path, Spec(identities=20, gallery_per_identity=9, noise=2.0, dim=256))
    printed = {
        subprocess.run(
            [sys.executable, "-c", SPACE, str(tmp_path), str(tmp_path / threads)],
            env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[3],
        ).stdout
        for threads in ("1", "2")
    }
    assert len(printed) == 1
    assert "n_map_images=200" in printed.pop()


def test_every_link_leads_to_a_file_of_the_report_and_none_outside(project):
    root, _, _ = project
    pages = sorted((root / "reports").rglob("*.html"))
    assert len(pages) >= 5
    for page in pages:
        for target in Links(page.read_text(encoding="utf-8")).targets:
            assert not re.match(r"(https?:)?//", target), (page, target)
            if target.startswith(("#", "data:")):
                continue
            assert (page.parent / target).is_file(), (page, target)


def test_every_picture_has_an_alt_text(project):
    alts = Links(project[2]).alts
    assert len(alts) > 50
    assert all(alts)


def test_identities_are_the_worst_first_and_then_others(project):
    root, _, html = project
    scores = {}
    for split in ("query", "gallery"):
        for row in read_table(Layout(root).quality(split)).to_pylist():
            if row["pose_id"] > 0:
                scores.setdefault(row["image_id"], []).append(row["identity_similarity"])
    means = {image_id: sum(values) / len(values) for image_id, values in scores.items()}
    worst = sorted(means, key=means.__getitem__)[:3]
    shown = re.findall(r'data-text="(\S+)', html)
    assert shown[:3] == worst
    assert len(shown) == len(set(shown)) == REPORT["identities"]
    assert "the 3 with the lowest mean identity score first" in html


def test_ranked_lists_are_those_that_gained_and_lost_most(project):
    root, _, html = project
    ap = {"base": {}, "ipg_nfc": {}}
    for row in read_table(root / "data/results/queries.parquet").to_pylist():
        if row["variant"] in ap:
            ap[row["variant"]][row["query_id"]] = row["ap"]
    gains = {q: ap["ipg_nfc"][q] - ap["base"][q] for q in ap["base"]}
    best = sorted(gains, key=lambda q: (-gains[q], q))[:2]
    names = re.findall(r'id="q-\d+".*?<span class="mono">(\S+)\.png</span>', html, re.DOTALL)
    assert [f"query/{name}" for name in names[:2]] == best
    assert f"▲ +{100 * gains[best[0]]:.1f} points" in html


def test_verdicts_are_told_by_signs_too(project):
    root, _, html = project
    rows = read_table(root / "data/results/rankings.parquet").to_pylist()
    query = re.search(r'id="q-1".*?<span class="mono">(\S+)\.png', project[2], re.DOTALL).group(1)
    part = html[html.index('id="q-1"') : html.index('id="q-2"')]
    for variant, block in zip(
        ("base", "ipg_nfc"), part.split('<div class="list">')[1:], strict=True
    ):
        expected = [
            "○" if row["is_junk"] else "✓" if row["is_match"] else "✕"
            for row in rows
            if row["variant"] == variant
            and row["query_id"] == f"query/{query}"
            and row["rank"] <= 10
        ]
        assert re.findall(r'<span class="sign">(.)</span>', block) == expected


def test_generated_thumbnails_say_in_their_file_that_they_are_synthetic(project):
    root, _, _ = project
    marks = [read_mark(p.read_bytes()) for p in (root / "reports/assets").glob("*.jpg")]
    generated = [mark for mark in marks if mark]
    assert 0 < len(generated) < len(marks)
    assert all(m["synthetic"] is True and m["generator"] == "a" * 64 for m in generated)


def test_quarantined_pictures_come_with_reason_and_command(project):
    root, _, html = project
    rows = [
        row
        for split in ("query", "gallery")
        for row in read_table(Layout(root).quality(split)).to_pylist()
        if not row["accepted"]
    ]
    worst = min(rows, key=lambda row: row["identity_similarity"])
    assert f"pose2id cache remake {worst['image_id']}" in html
    assert f"{min(16, len(rows))} of {len(rows)} quarantined" in html
    assert "identity_lost" in html


def test_rejected_files_are_listed_with_their_reason(project):
    assert "query/broken.jpg" in project[2]
    assert "cannot be decoded" in project[2]


def test_provenance_shows_fingerprints_and_parameters_but_no_runtime(project):
    html = project[2]
    assert "a" * 64 in html
    assert "max_quarantine_rate" in html
    assert "workers" not in html


def test_names_from_the_data_stay_text_and_never_become_paths(tmp_path):
    params = write_project(tmp_path, Spec(identities=3, hostile_names=True), report=REPORT)
    build(tmp_path, params)
    for path, data in outs(tmp_path).items():
        assert re.fullmatch(r"[a-z0-9/.-]+|dataset/README.md", path)
        if path.endswith(".html"):
            page = Links(data.decode())
            assert "alert(1)" in data.decode() or "persons" in path
            assert "x" not in page.targets
            assert "{{7*7}}" in data.decode() or "persons" in path  # not evaluated to 49


def test_more_items_than_a_page_holds_go_to_further_pages(tmp_path):
    wanted = {**REPORT, "identities": 30, "ranked_queries": 26}
    params = write_project(tmp_path, Spec(identities=26, noise=2.0), report=wanted)
    html = build(tmp_path, params)
    pages = tmp_path / "reports/pages"
    assert html.count("data-person ") == 24
    assert (pages / "identities-2.html").read_text(encoding="utf-8").count("data-person ") == 6
    assert (pages / "ranked-2.html").read_text(encoding="utf-8").count('class="query"') == 2
    assert 'href="pages/identities-2.html"' in html
    assert "Shown here: 25 to 30 of 30." in (pages / "identities-2.html").read_text(
        encoding="utf-8"
    )


def test_without_labels_the_page_says_what_cannot_be_shown(tmp_path):
    params = write_project(tmp_path, Spec(identities=4, labels=False), report=REPORT)
    html = build(tmp_path, params)
    assert "but not scored" in html
    assert "No CMC curve: the dataset has no labels." in html
    assert "No table of cameras: the dataset has no camera ids or no person ids." in html
    assert "no person has two images with a label" in html
    assert html.count('class="query"') == 4
    assert "no right answer that is known" in html


def test_without_cameras_only_the_table_of_cameras_is_missing(tmp_path):
    params = write_project(tmp_path, Spec(identities=4, has_cameras=False), report=REPORT)
    html = build(tmp_path, params)
    assert "No table of cameras: the dataset has no camera ids" in html
    assert "CMC: share of queries" in html


def test_a_missing_original_leaves_a_gap_with_a_text(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    for picture in (tmp_path / params.dataset.root / "query").iterdir():
        picture.unlink()
    assert "picture not available" in build(tmp_path, params)


def test_a_path_that_leaves_the_dataset_is_not_opened(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    secret = tmp_path / params.dataset.root / "query" / "00001_c1s1_000000_00.png"
    secret.replace(tmp_path / "data/raw/secret.png")
    index = Layout(tmp_path).index("query")
    rows = pq.read_table(index).to_pylist()
    rows[0]["path"] = "../secret.png"
    write_table(index, schema.pa.Table.from_pylist(rows, schema=schema.INDEX), producer="index")
    assert "picture not available" in build(tmp_path, params)


def test_a_failed_run_leaves_the_last_report_whole(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    build(tmp_path, params)
    before = outs(tmp_path)
    (tmp_path / "data/results/summary.parquet").write_bytes(b"torn")
    with pytest.raises(DataError, match="'summary'"):
        build(tmp_path, params)
    assert outs(tmp_path) == before
    assert not list((tmp_path / "reports").glob(".tmp-*"))


def test_a_second_run_leaves_no_file_of_the_first(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    build(tmp_path, params)
    stale = tmp_path / "reports/assets/stale.jpg"
    stale.write_bytes(b"old")
    build(tmp_path, params)
    assert not stale.exists()


def test_templates_are_packaged():
    folder = Path(__file__).parents[3] / "tasks/reporting/templates"
    config = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    for suffix in {path.suffix for path in folder.iterdir() if path.is_file()}:
        assert f'"*{suffix}"' in config
