"""A Croissant 1.0 description of the tables: what is in each column, in JSON-LD."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tasks.reporting.tables import Tables
from tasks.tables import schema

ID = "data"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
DESCRIPTIONS = {
    "image_id": "Split and file stem of the original.",
    "path": "Path of the original below the dataset's root.",
    "split": "Split of the dataset.",
    "pid": "Person id; empty where unknown.",
    "camid": "Camera id, 0-based; empty where unknown.",
    "modality": "visible or infrared.",
    "clothes_id": "Outfit id of cloth-changing datasets.",
    "distractor": "Whether the image matches no query.",
    "tracklet_id": "Track that the image is a frame of; empty where there are none.",
    "group": "Free label for protocols that compare groups.",
    "width_px": "Width in pixels.",
    "height_px": "Height in pixels.",
    "sha256": "Hash of the file.",
    "n_bytes": "Size of the file in bytes.",
    "pose_id": "Pose in which the person was drawn; -1 is the original.",
    "image": "The generated picture: synthetic, not a photograph.",
    "format": "Encoding of the picture.",
    "seed": "Seed of the start noise.",
    "key": "Hash of everything that determines the picture.",
}
TYPES = {
    pa.string(): "sc:Text",
    pa.bool_(): "sc:Boolean",
    pa.binary(): "sc:ImageObject",
    pa.int16(): "cr:Int16",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.uint64(): "cr:UInt64",
}


def croissant(tables: Tables, sha256: str) -> dict[str, Any]:
    """The description.

    Args:
        tables: The project's tables.
        sha256: Hash of the files described.

    Returns:
        JSON-LD; file paths are relative to `reports/dataset/croissant.json`.
    """
    dataset = tables.params.dataset
    splits = tables.params.splits
    sets = {
        "images": ([f"index/{split}.parquet" for split in splits], schema.INDEX),
        "generated": ([f"generated/{split}/part-*.parquet" for split in splits], schema.GENERATED),
    }
    words = {
        "images": "One record per usable original, with its labels.",
        "generated": "One record per generated (synthetic) picture.",
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{dataset.name}-pose2id",
        "description": (
            f"The person re-identification dataset {dataset.name} (status: {dataset.status}) with "
            "every image drawn again in standard poses. All generated pictures are synthetic."
        ),
        "license": dataset.licence,
        "keywords": ["person re-identification", "synthetic"],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": ID,
                "name": ID,
                "description": "The data folder of the project's repository; the hash is that of "
                "the lines that sha256sum prints for the files described, sorted by path.",
                "contentUrl": "../../data",
                "encodingFormat": "git+https",
                "sha256": sha256,
            },
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": f"{name}-files",
                    "name": f"{name}-files",
                    "containedIn": {"@id": ID},
                    "encodingFormat": "application/x-parquet",
                    "includes": patterns,
                }
                for name, (patterns, _) in sets.items()
            ),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": name,
                "name": name,
                "description": words[name],
                "field": [_field(name, column) for column in columns],
            }
            for name, (_, columns) in sets.items()
        ],
    }


def _field(record_set: str, column: pa.Field) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{column.name}",
        "name": column.name,
        "description": DESCRIPTIONS[column.name],
        "dataType": TYPES[column.type],
        "source": {
            "fileSet": {"@id": f"{record_set}-files"},
            "extract": {"column": column.name},
        },
    }
