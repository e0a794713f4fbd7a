import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from pose2id.errors import DataError
from tasks.reporting import queries
from tasks.reporting.pages import NAVIGATION
from tasks.stages.report import OUTS, merge, plan, run_shard
from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, write_table
from tests.marks import read_mark
from tests.tasks.factory import Spec, write_project

SUMMARY = "data/results/summary.parquet"
REPORT = {"identities": 6, "ranked_queries": 4, "map_points": 60}


def build(root, params):
    """Runs the stage and returns the pages: name -> HTML."""
    reports = [run_shard(job) for job in plan(params, root, "")]
    merge(params, root, "", reports)
    found = [root / "reports/index.html", *(root / "reports/pages").iterdir()]
    return {path.stem: path.read_text(encoding="utf-8") for path in found}


def data_of(root, name):
    """What a script of `queries/` hands to the page."""
    text = (root / "reports/queries" / f"{name}.js").read_text(encoding="utf-8")
    found = re.fullmatch(r'pose2id\.add\("\w+", \d+, (.*)\);\n', text, re.DOTALL)
    return json.loads(found.group(1))


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


def test_every_page_has_the_same_navigation_and_marks_itself(project):
    _, _, pages = project
    assert set(pages) >= set(NAVIGATION)
    for name, html in pages.items():
        bar = html[html.index("<nav") : html.index("</nav>")]
        assert re.findall(r">([^<>]+)</a>", bar) == list(NAVIGATION.values())
        assert re.findall(r'aria-current="page">([^<]+)', bar) == [NAVIGATION[name.split("-")[0]]]
        assert html.index('<a class="skip" href="#main">') < html.index("<nav")
        assert '<main class="wrap" id="main"' in html


def test_no_page_repeats_a_table_or_a_plot_of_another(project):
    _, _, pages = project
    seen = {}
    for name, html in pages.items():
        parts = re.findall(r"<table.*?</table>|<img[^>]*\.svg[^>]*>", html, re.DOTALL)
        for part in parts:
            assert seen.setdefault(part, name) == name


def test_the_overview_is_short_and_has_three_findings(project):
    _, _, pages = project
    words = re.sub(r"<details>.*?</details>|<[^>]+>", " ", pages["index"], flags=re.DOTALL).split()
    assert len(words) < 400
    findings = pages["index"].split('<ol class="findings">')[1].split("</ol>")[0]
    assert findings.count("<li>") == 3


def test_the_findings_are_those_of_the_tables(project):
    root, _, pages = project
    rows = {row["variant"]: row for row in read_table(root / SUMMARY).to_pylist()}
    best = max((row for row in rows.values() if row["variant"] != "base"), key=lambda r: r["mAP"])
    assert f"{best['variant']} is the best variant" in pages["index"]
    steps = sorted((r["step_delta"], r["variant"]) for r in rows.values() if r["step_delta"])
    assert f"{100 * steps[-1][0]:+.1f} points of mAP" in pages["index"].replace("\u2212", "-")
    ap = ap_of(root)
    gained = sum(ap[best["variant"]][q] > ap["base"][q] for q in ap["base"])
    assert f"{gained} of {len(ap['base'])} queries gained AP" in pages["index"]


def test_the_results_table_shows_the_numbers_of_the_summary(project):
    root, _, pages = project
    for page, table_id in (("index", "variants"), ("results", "ranks")):
        table = pages[page].split(f'<table id="{table_id}">')[1].split("</table>")[0]
        for row in read_table(root / SUMMARY).to_pylist():
            code = f"<code>{row['variant']}</code>"
            line = next(part for part in table.split("<tr") if code in part)
            assert f">{100 * row['rank_1']:.1f}<" in line
            if page == "index":
                assert f">{100 * row['mAP']:.1f}<" in line
                assert (f"after {row['without_last_step']}<" in line) is bool(row["steps"])
            else:
                assert f">{row['id2']:.3f}<" in line


def test_a_loss_is_said_as_plainly_as_a_gain(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    summary = Layout(tmp_path).results / "summary.parquet"
    rows = read_table(summary).to_pylist()
    for row in rows:
        row["mAP"] = {"base": 0.6, "nfc": 0.7}.get(row["variant"], 0.25)
        row["id2"] = {"base": 0.4}.get(row["variant"], 0.2)
    write_table(summary, schema.pa.Table.from_pylist(rows, schema=schema.SUMMARY), producer="s")
    pages = build(tmp_path, params)
    assert "nfc is the best variant without re-ranking: mAP 70.0 %" in pages["index"]
    for row in rows[1:]:
        row["mAP"] = 0.25
    write_table(summary, schema.pa.Table.from_pylist(rows, schema=schema.SUMMARY), producer="s")
    pages = build(tmp_path, params)
    assert "base is better than all others here" in pages["index"]
    assert "ID2 fell although retrieval got worse" in pages["results"]


def test_same_tables_give_the_same_bytes(project):
    root, params, _ = project
    before = outs(root)
    (root / "data/runs.parquet").unlink(missing_ok=True)
    other_runtime = params.model_copy(
        update={"runtime": params.runtime.model_copy(update={"workers": 7})}
    )
    build(root, other_runtime)
    assert outs(root) == before


def test_thumbnails_of_the_last_report_are_taken_over_to_the_byte(project, monkeypatch):
    root, params, _ = project
    before = outs(root)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.reporting.thumbnails._draw", lambda *_: pytest.fail("drawn again"))
        build(root, params)
    assert outs(root) == before
    Layout(root).thumbnails.write_bytes(b"damaged")
    build(root, params)
    assert outs(root) == before
    assert Layout(root).thumbnails.stat().st_size > 1000


def test_pictures_of_the_last_report_are_linked_unless_they_were_changed(project):
    root, params, _ = project
    before, assets = outs(root), root / "reports/assets"
    changed, symlink, *others = sorted(assets.glob("*.jpg"))
    changed.write_bytes(b"changed by hand")
    (root / "elsewhere.jpg").write_bytes(symlink.read_bytes())
    symlink.unlink()
    symlink.symlink_to(root / "elsewhere.jpg")
    (assets / "of-nobody-any-more.jpg").write_bytes(b"")
    inodes = [path.stat().st_ino for path in others]
    build(root, params)
    assert outs(root) == before
    assert [path.stat().st_ino for path in others] == inodes
    assert not symlink.is_symlink()


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


def links_of(reports):
    """Every link of every page as (page, file, fragment)."""
    for page in sorted(reports.rglob("*.html")):
        for target in Links(page.read_text(encoding="utf-8")).targets:
            assert not re.match(r"(\w+:)?//", target), (page, target)
            if not target.startswith("data:"):
                path, _, fragment = target.partition("#")
                yield page, (page.parent / path).resolve() if path else page, fragment


def test_every_link_leads_to_an_out_of_the_stage_and_to_a_place_in_it(project):
    root, _, _ = project
    reports = root / "reports"
    inside = {(reports / path).resolve() for path in outs(root)}
    checked = 0
    for page, file, fragment in links_of(reports):
        assert file.resolve() in inside, (page, file)
        if fragment and "=" not in fragment:  # with =, the address says what to show
            assert fragment in Links(file.read_text(encoding="utf-8")).ids, (page, fragment)
        checked += 1
    assert checked > 150


def test_dvc_keeps_all_that_the_stage_writes():
    stages = yaml.safe_load((Path(__file__).parents[3] / "dvc.yaml").read_text())["stages"]
    written = {
        path
        for out in stages["report"]["outs"]
        for path in ([out] if isinstance(out, str) else out)
    }
    assert {f"reports/{out}" for out in OUTS} == written


def test_a_copy_without_the_local_part_has_no_dead_link(project, tmp_path):
    root, _, _ = project
    for out in OUTS:
        source = root / "reports" / out
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, tmp_path / out)
    assert all(file.is_file() for _, file, _ in links_of(tmp_path))
    assert "so a copy of the report" in (tmp_path / "pages/runs.html").read_text(encoding="utf-8")


def test_every_picture_has_an_alt_text(project):
    alts = [alt for html in project[2].values() for alt in Links(html).alts]
    assert len(alts) > 50
    assert all(alts)


def test_drawings_are_the_worst_first_and_then_others(project):
    root, _, pages = project
    html = pages["drawings"]
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


def ap_of(root):
    """Variant -> query -> AP."""
    found = {}
    for row in read_table(root / "data/results/queries.parquet").to_pylist():
        found.setdefault(row["variant"], {})[row["query_id"]] = row["ap"]
    return found


def test_every_query_is_listed_with_its_ap_by_every_variant(project):
    root, _, pages = project
    listed, ap = data_of(root, "list-0"), ap_of(root)
    settings = settings_of(pages["queries"])
    assert settings["variants"] == list(ap)
    assert listed["id"] == sorted(ap["base"])
    for column, variant in enumerate(settings["variants"]):
        found = [row[column] for row in listed["ap"]]
        assert found == pytest.approx([ap[variant][q] for q in listed["id"]], abs=1e-4)
    rows = {r["image_id"]: r for r in read_table(Layout(root).index("query")).to_pylist()}
    assert listed["camera"] == [rows[q]["camid"] for q in listed["id"]]
    assert listed["person"] == [rows[q]["pid"] for q in listed["id"]]


def settings_of(html):
    """What the page of queries tells its script."""
    found = re.search(r'data-settings="([^"]*)"', html).group(1)
    return json.loads(unescape(unescape(found)))


def test_ranked_lists_are_those_of_the_tables_with_distances(project):
    root, _, pages = project
    lists, ids = data_of(root, "lists-0"), data_of(root, "list-0")["id"]
    rows = read_table(root / "data/results/rankings.parquet").to_pylist()
    for column, variant in enumerate(settings_of(pages["queries"])["variants"]):
        for query_id, query in zip(ids, lists["queries"], strict=True):
            expected = [
                (r["gallery_id"], 2 if r["is_junk"] else int(r["is_match"]), r["distance"])
                for r in rows
                if (r["variant"], r["query_id"]) == (variant, query_id) and r["rank"] <= 10
            ]
            hits = query["hits"][column]
            found = list(zip(hits[0::3], hits[2::3], hits[1::3], strict=True))
            assert [(lists["images"][i][0], v) for i, v, _ in found] == [e[:2] for e in expected]
            assert [d for *_, d in found] == pytest.approx([e[2] for e in expected], abs=1e-4)


def test_queries_with_pictures_are_those_that_gained_and_lost_most(project):
    root, _, pages = project
    ids, ap = data_of(root, "list-0")["id"], ap_of(root)
    after = settings_of(pages["queries"])["after"]
    gains = {q: ap[after][q] - ap["base"][q] for q in ids}
    queries = dict(zip(ids, data_of(root, "lists-0")["queries"], strict=True))
    pictured = {q for q, query in queries.items() if query["picture"]}
    assert len(pictured) == REPORT["ranked_queries"]
    assert max(gains, key=lambda q: (gains[q], q)) in pictured
    assert all(len(queries[q]["drawings"]) == 8 for q in pictured)
    assert f"{len(pictured)} are shown with pictures" in pages["queries"]
    for query in queries.values():
        for name in (query["picture"], *(drawing[0] for drawing in query["drawings"])):
            assert name is None or (root / "reports/assets" / name).is_file()


def test_many_queries_come_in_many_scripts(tmp_path, monkeypatch):
    monkeypatch.setattr(queries, "QUERIES_PER_LIST", 4)
    monkeypatch.setattr(queries, "QUERIES_PER_CHUNK", 3)
    params = write_project(tmp_path, Spec(identities=7), report=REPORT)
    settings = settings_of(build(tmp_path, params)["queries"])
    assert (settings["lists"], settings["perChunk"]) == (2, 3)
    assert [len(data_of(tmp_path, f"list-{n}")["id"]) for n in range(2)] == [4, 3]
    parts = [data_of(tmp_path, f"lists-{n}") for n in range(3)]
    assert [len(part["queries"]) for part in parts] == [3, 3, 1]
    assert all(len(query["hits"][0]) == 30 for part in parts for query in part["queries"])


def test_cameras_have_the_numbers_of_the_tables(project):
    root, _, pages = project
    cameras = sorted(set(read_table(Layout(root).index("gallery")).column("camid").to_pylist()))
    table = pages["cameras"].split('<table id="cameras">')[1]
    assert re.findall(r"gallery camera (\d+)", table) == [str(camera) for camera in cameras]
    assert cameras[0] == 0


def test_the_camera_bias_is_that_of_the_summary(project):
    root, _, pages = project
    table = pages["cameras"].split('<table id="camera-bias">')[1].split("</table>")[0]
    for row in read_table(root / SUMMARY).to_pylist():
        line = next(part for part in table.split("<tr") if f"<code>{row['variant']}</code>" in part)
        names = ("camera_nmi", "camera_nmi_by_chance", "identity_nmi")
        assert re.findall(r">(\d\.\d{3})<", line) == [f"{row[name]:.3f}" for name in names]


@pytest.mark.parametrize(
    ("folder", "column"), [("data/results", "camera_nmi"), ("data/quality", "pixel_std")]
)
def test_tables_of_an_earlier_version_are_refused_in_words(tmp_path, folder, column):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    for file in (tmp_path / folder).glob("*.parquet"):
        table = read_table(file)
        write_table(file, table.select(set(table.column_names) - {column}), producer="old")
    with pytest.raises(DataError, match=f"lacks the columns {column}: an earlier version"):
        build(tmp_path, params)


def test_generated_thumbnails_say_in_their_file_that_they_are_synthetic(project):
    root, _, _ = project
    marks = [read_mark(p.read_bytes()) for p in (root / "reports/assets").glob("*.jpg")]
    generated = [mark for mark in marks if mark]
    assert 0 < len(generated) < len(marks)
    assert all(m["synthetic"] is True and m["generator"] == "a" * 64 for m in generated)


def test_quarantined_pictures_come_with_reason_and_command(project):
    root, _, pages = project
    html = pages["quality"]
    rows = [
        row
        for split in ("query", "gallery")
        for row in read_table(Layout(root).quality(split)).to_pylist()
        if not row["accepted"]
    ]
    worst = min(rows, key=lambda row: row["identity_similarity"])
    assert f"pose2id cache remake {worst['image_id']}" in html
    assert f"{min(8, len(rows))} of {len(rows)} quarantined" in html
    assert "identity_lost" in html


def test_each_kind_of_quarantined_picture_has_its_own_worst(tmp_path):
    params = write_project(tmp_path, Spec(), report=REPORT)
    path = Layout(tmp_path).quality("gallery")
    rows = read_table(path).to_pylist()
    for row, kind in zip(rows, ["blank"] * 9 + ["zero_norm"] * 2, strict=False):
        row |= {"accepted": False, "reasons": [kind, "identity_lost"]}
    table = pa.Table.from_pylist(rows, schema=schema.QUALITY)
    write_table(path, table, producer="q" * 64)
    html = build(tmp_path, params)["quality"]
    parts = html[html.index("The worst of each kind") :].split("<h3><code>")[1:4]
    assert [part.partition("<")[0] for part in parts] == ["blank", "identity_lost", "zero_norm"]
    assert [parts[0].count('class="example"'), parts[2].count('class="example"')] == [8, 2]


def test_doubtful_labels_and_near_duplicates_are_shown_worst_first_with_why(tmp_path):
    params = write_project(tmp_path, Spec(identities=8, poses=1), report=REPORT)
    layout = Layout(tmp_path)
    ids = read_table(layout.index("gallery")).column("image_id").to_pylist()
    doubts = [
        ("wrong_person", ids[0], 1, ids[9], 3, 0.5),
        ("wrong_person", ids[1], 1, ids[10], 3, 0.9),
        *(("same_person", image_id, 2, ids[8], 3, 0.75) for image_id in ids[4:8]),
    ]
    for path, columns, rows in (
        (layout.label_errors, schema.LABEL_ERRORS, doubts),
        (
            layout.near_duplicates,
            schema.NEAR_DUPLICATES,
            [(ids[2], ids[3], 0.99, False)],
        ),
    ):
        named = [dict(zip(columns.names, row, strict=True)) for row in rows]
        write_table(path, pa.Table.from_pylist(named, schema=columns), producer="a")
    html = unescape(build(tmp_path, params)["quality"])
    places = [
        html.index(words)
        for words in (
            "Images of another person",
            "labelled person 1, looks like person 3: 90 more of 100 votes",
            "labelled person 1, looks like person 3: 50 more of 100 votes",
            "person 2 looks like person 3: score 0.75",
            "Two persons under one id",
            "Near duplicates between splits",
            "alike by 0.990",
        )
    ]
    assert places == sorted(places)
    assert all(f"In doubt: {image_id}" in html for image_id in ids[:8] if image_id != ids[3])


def test_rejected_files_are_listed_with_their_reason(project):
    assert "query/broken.jpg" in project[2]["data"]
    assert "cannot be decoded" in project[2]["data"]


def test_provenance_shows_fingerprints_and_parameters_but_no_runtime(project):
    html = project[2]["provenance"]
    assert "a" * 64 in html
    assert "max_quarantine_rate" in html
    assert "workers" not in html


def test_names_from_the_data_stay_text_and_never_become_paths(tmp_path):
    params = write_project(tmp_path, Spec(identities=3, hostile_names=True), report=REPORT)
    pages = build(tmp_path, params)
    for path, data in outs(tmp_path).items():
        assert re.fullmatch(r"[a-z0-9/.-]+|dataset/README.md", path)
        if path.endswith(".html"):
            assert "x" not in Links(data.decode()).targets
        if path.startswith("queries/"):
            assert b"<" not in data
    for name in ("drawings", "quality"):
        assert "alert(1)" in pages[name]
        assert "{{7*7}}" in pages[name]  # not evaluated to 49
    assert any("alert(1)" in query for query in data_of(tmp_path, "list-0")["id"])


def test_more_items_than_a_page_holds_go_to_further_pages(tmp_path):
    wanted = {**REPORT, "identities": 30, "ranked_queries": 26}
    params = write_project(tmp_path, Spec(identities=26, noise=2.0), report=wanted)
    pages = build(tmp_path, params)
    assert pages["drawings"].count("data-person ") == 24
    assert pages["drawings-2"].count("data-person ") == 6
    assert 'href="drawings-2.html"' in pages["drawings"]
    assert "On this page: 25 to 30 of 30." in pages["drawings-2"]


def test_without_labels_the_page_says_what_cannot_be_shown(tmp_path):
    params = write_project(tmp_path, Spec(identities=4, labels=False), report=REPORT)
    pages = build(tmp_path, params)
    assert "Not scored: the dataset has no labels." in pages["index"]
    assert "There is no gain to tell of: the dataset has no labels." in pages["index"]
    assert "No CMC curve: the dataset has no labels." in pages["results"]
    assert "the dataset has no camera ids or no person ids." in pages["cameras"]
    assert "no person has two images with a label" in pages["people"]
    queries = data_of(tmp_path, "lists-0")["queries"]
    assert sum(query["picture"] is not None for query in queries) == 4
    assert {verdict for query in queries for verdict in query["hits"][0][2::3]} == {3}


def test_without_cameras_only_the_table_of_cameras_is_missing(tmp_path):
    params = write_project(tmp_path, Spec(identities=4, has_cameras=False), report=REPORT)
    pages = build(tmp_path, params)
    assert "No table of cameras: the dataset has no camera ids" in pages["cameras"]
    assert "camera-bias" not in pages["cameras"]
    assert "CMC: share of queries" in pages["results"]


def test_a_missing_original_leaves_a_gap_with_a_text(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    for picture in (tmp_path / params.dataset.root / "query").iterdir():
        picture.unlink()
    assert "picture not available" in build(tmp_path, params)["drawings"]


def test_a_path_that_leaves_the_dataset_is_not_opened(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    secret = tmp_path / params.dataset.root / "query" / "00001_c1s1_000000_00.png"
    secret.replace(tmp_path / "data/raw/secret.png")
    index = Layout(tmp_path).index("query")
    rows = pq.read_table(index).to_pylist()
    rows[0]["path"] = "../secret.png"
    write_table(index, schema.pa.Table.from_pylist(rows, schema=schema.INDEX), producer="index")
    build(tmp_path, params)
    assert data_of(tmp_path, "lists-0")["queries"][0]["picture"] is None


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


def test_with_base_alone_the_report_says_that_there_is_nothing_to_compare(tmp_path):
    params = write_project(tmp_path, Spec(identities=3), report=REPORT)
    for name in ("summary", "queries", "identities", "rankings"):
        path = tmp_path / f"data/results/{name}.parquet"
        table = read_table(path)
        kept = table.filter(pc.equal(table.column("variant"), "base"))
        write_table(path, kept, producer="5" * 64)
    pages = build(tmp_path, params)
    assert settings_of(pages["queries"])["variants"] == ["base"]
    assert "only base was scored" in pages["cameras"]
    assert pages["index"].split('<ol class="findings">')[1].split("</ol>")[0].count("<li>") == 3
    assert all(file.is_file() for _, file, _ in links_of(tmp_path / "reports"))
