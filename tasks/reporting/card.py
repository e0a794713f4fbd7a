"""The dataset card: `README.md` in Hugging Face form and `croissant.json` beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import yaml

from tasks.reporting.croissant import croissant
from tasks.reporting.pages import environment
from tasks.reporting.provenance import Provenance, provenance_section
from tasks.reporting.tables import Row, Tables

# What Hugging Face calls the licences that a dataset of pictures may have.
HF_LICENCES = {
    *("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "odbl", "pddl", "odc-by"),
}
SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
SIZE_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")


def write_dataset_card(tables: Tables, folder: Path) -> None:
    """Writes the card and the Croissant description.

    Args:
        tables: The project's tables.
        folder: Where to; it is made.
    """
    folder.mkdir(parents=True)
    provenance = provenance_section(tables)
    (folder / "README.md").write_text(readme(tables, provenance), encoding="utf-8")
    described = croissant(tables, data_digest(tables.layout.data, tables.params.splits))
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    (folder / "croissant.json").write_text(text, encoding="utf-8")


def readme(tables: Tables, provenance: Provenance) -> str:
    """The card: YAML that Hugging Face reads, then Markdown for people."""
    dataset = tables.params.dataset
    n_generated = tables.count("generated")
    header = {
        "pretty_name": f"{dataset.name} re-drawn in standard poses",
        **licence_fields(dataset.licence),
        "task_categories": ["image-feature-extraction"],
        "tags": ["person-re-identification", "synthetic", "pose-guided-generation", "pose2id"],
        "size_categories": [size_category(n_generated)],
    }
    # Escaped too: Markdown passes HTML on.
    body = (
        environment()
        .get_template("README.md.j2")
        .render(
            provenance=provenance,
            n_generated=n_generated,
            generators=tables.producers("generated"),
            summary=_summary(tables),
            retracted=dataset.status == "retracted",
        )
    )
    head = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{body}"


def licence_fields(licence: str) -> dict[str, str]:
    """How Hugging Face wants a licence named.

    >>> licence_fields("CC0-1.0")
    {'license': 'cc0-1.0'}
    >>> licence_fields("academic use only")
    {'license': 'other', 'license_name': 'academic use only'}
    """
    known = licence.lower()
    if known in HF_LICENCES:
        return {"license": known}
    return {"license": "other", "license_name": licence}


def size_category(n_rows: int) -> str:
    """Hugging Face's size category.

    >>> size_category(999), size_category(160_000)
    ('n<1K', '100K<n<1M')
    """
    return SIZE_NAMES[sum(n_rows >= size for size in SIZES)]


def data_digest(data: Path, splits: tuple[str, ...]) -> str:
    """One sha256 over all index, picture and quality files: of the lines `sha256sum` prints."""
    files = [
        file
        for split in splits
        for pattern in (
            f"index/{split}.parquet",
            f"generated/{split}/part-*.parquet",
            f"quality/{split}.parquet",
        )
        for file in data.glob(pattern)
    ]
    lines = []
    for file in sorted(files):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        lines.append(f"{digest}  {file.relative_to(data).as_posix()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _summary(tables: Tables) -> list[Row]:
    return tables.rows("SELECT variant, mAP, rank_1, id2 FROM summary")
