"""Time, memory and page sizes of the report at full size, on tables of made-up people.

    python -m benchmarks.report [--identities 5000] [--gallery 2] [--poses 8]

Each identity has 4 queries and 2 gallery pictures, each of them 8 generated pictures: the default
is 20,000 queries and 240,000 generated pictures; `--gallery 20 --poses 1` is 100,000 gallery
images. The bounds are those a person at a laptop
tolerates: 2 minutes, 1 GiB, 5 MB a page or script. The report runs in a process of its own, so that
memory is that of the report alone. Where Chromium is installed, it opens pages from disk and says
when something was first to be seen.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import processes
from tasks.reporting.provenance import params_yaml
from tests.browser.chromium import MISSING, open_browser
from tests.tasks.factory import Spec, write_project

BUILD = """
import sys
from pathlib import Path
from tasks.tables.params import load_params
from tasks.stages.report import plan, run_shard
root = Path(sys.argv[1])
for job in plan(load_params(root / "params.yaml"), root, ""):
    run_shard(job)
"""


WRITE = """
import sys
from pathlib import Path
from benchmarks.report import write_tables
write_tables(Path(sys.argv[1]), *map(int, sys.argv[2:]))
"""


PAINT = """
const done = arguments[0];
const seen = () => performance.getEntriesByName("first-contentful-paint")[0];
const look = () => seen() ? done(seen().startTime) : setTimeout(look, 20);
look();
"""


def write_tables(root: Path, identities: int, gallery: int, poses: int) -> None:
    """Writes a project of made-up people and its params.yaml."""
    spec = Spec(
        identities=identities,
        queries_per_identity=4,
        gallery_per_identity=gallery,
        poses=poses,
        cameras=6,
        distractors=identities // 5,
        dim=512,
        noise=3.0,
        width_px=64,
        grain=True,
    )
    params = write_project(root, spec, report={}, shards=8)
    (root / "params.yaml").write_text(params_yaml(params), encoding="utf-8")


def main() -> None:
    """Writes the tables, builds the report, prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identities", type=int, default=5000)
    parser.add_argument("--gallery", type=int, default=2, help="gallery pictures of an identity")
    parser.add_argument("--poses", type=int, default=8)
    options = parser.parse_args()
    sizes = [str(options.identities), str(options.gallery), str(options.poses)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        processes.run([sys.executable, "-c", WRITE, folder, *sizes])
        n_bytes = sum(p.stat().st_size for p in (root / "data").rglob("*.parquet"))
        print(f"{4 * options.identities} queries, tables of {n_bytes / 2**20:.0f} MiB", flush=True)
        used, _, _ = processes.run([sys.executable, "-c", BUILD, folder])
        loaded = [p for p in (root / "reports").rglob("*") if p.suffix in (".html", ".js")]
        pages = {p.name: p.stat().st_size for p in loaded}
        largest = max(pages, key=pages.__getitem__)
        whole = sum(p.stat().st_size for p in (root / "reports").rglob("*") if p.is_file())
        paints = first_paints(root / "reports")
    print(f"wall time      {used.seconds:8.1f} s   (bound 120)")
    print(f"processor time {used.processor_seconds:8.1f} s")
    print(f"peak memory    {1024 * used.gib:8.0f} MiB (bound 1024)")
    print(f"largest file   {pages[largest] / 1e6:8.2f} MB  (bound 5; {largest})")
    print(f"whole report   {whole / 1e6:8.2f} MB in {len(pages)} pages and scripts")
    print(f"first paint    {paints}")


def first_paints(reports: Path) -> str:
    """Milliseconds from opening a page to the first thing seen on it, median of three."""
    if MISSING:
        return MISSING
    found = []
    with open_browser() as browser:
        for path in ("index.html", "pages/queries.html", "pages/people.html"):
            times = []
            for _ in range(3):
                browser.get("about:blank")
                browser.get((reports / path).as_uri())
                times.append(browser.execute_async_script(PAINT))
            found.append(f"{path} {statistics.median(times):.0f} ms")
    return ", ".join(found)


if __name__ == "__main__":
    main()
