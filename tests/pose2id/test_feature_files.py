"""Features on disk and their labels: every format, every fault, and what they are worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pose2id.errors import DataError, ParamsError
from pose2id.feature_files import in_order, read_features
from pose2id.label_files import read_sides
from pose2id.scoring import CHAINS, score_features

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)
IDS = ["a", "b", "c"]


def _write(path, features, ids=None, poses=None):
    parts = {"features": features}
    parts |= {} if ids is None else {"ids": ids}
    parts |= {} if poses is None else {"pose_ids": poses}
    if path.suffix == ".npy":
        np.save(path, features)
    elif path.suffix == ".npz":
        np.savez(path, **{k: np.asarray(v) for k, v in parts.items()})
    elif path.suffix == ".pt":
        parts = {k: torch.tensor(v) if k != "ids" else list(v) for k, v in parts.items()}
        torch.save(parts, path)
    else:
        from scipy.io import savemat

        parts = {k: np.array(v, dtype=object) if k == "ids" else v for k, v in parts.items()}
        savemat(path, parts)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".mat"])
def test_every_format_gives_the_same(tmp_path, suffix):
    file = read_features(_write(tmp_path / f"q{suffix}", ROWS, IDS))
    assert np.array_equal(file.features, ROWS)
    assert file.features.dtype == np.float32
    assert file.ids == (None if suffix == ".npy" else IDS)


def test_bare_matrices_and_pose_ids(tmp_path):
    torch.save(torch.tensor(ROWS.astype(np.float64)), tmp_path / "q.pt")
    assert np.array_equal(read_features(tmp_path / "q.pt").features, ROWS)
    path = _write(tmp_path / "q.npz", ROWS, ["a", "a", "b"], [-1, 3, -1])
    assert read_features(path).pose_ids.tolist() == [-1, 3, -1]


@pytest.mark.parametrize(
    ("suffix", "features", "ids", "message"),
    [
        (".npz", [[1.0, float("nan")], [1.0, 2.0]], None, "1 of 2 rows hold NaN.*row 0"),
        (".npy", np.zeros((2, 3, 4)), None, r"shape \(2, 3, 4\)"),
        (".npy", np.zeros((0, 3)), None, r"shape \(0, 3\)"),
        (".npy", np.array([["a", "b"]]), None, "no numbers"),
        (".npz", ROWS, ["a", "b"], "3 rows but 2 ids"),
        (".pt", ROWS, ["a", "b", "a"], "1 ids are there more than once, such as a"),
        (".pt", ROWS, ["a", "b", " "], "row 2 has an empty id"),
    ],
)
def test_features_that_cannot_be_used(tmp_path, suffix, features, ids, message):
    path = _write(tmp_path / f"q{suffix}", features, ids)
    with pytest.raises(DataError, match=message):
        read_features(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_features(tmp_path / "q.npy")
    with pytest.raises(DataError, match=r"ends in none of \.npy"):
        read_features(tmp_path / "q.csv")
    for suffix in (".npy", ".npz", ".pt", ".mat"):
        path = tmp_path / f"q{suffix}"
        for content in (b"", b"PK\x03\x04nothing", b"\x93NUMPY", bytes(range(256)) * 4):
            path.write_bytes(content)
            with pytest.raises(DataError, match=path.name):
                read_features(path)
    np.save(tmp_path / "q.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="damaged or no such file"):
        read_features(tmp_path / "q.npy")
    torch.save({"features": tmp_path}, tmp_path / "q.pt")
    with pytest.raises(DataError, match="more than arrays"):
        read_features(tmp_path / "q.pt")
    np.savez(tmp_path / "q.npz", x=ROWS, y=ROWS)
    with pytest.raises(DataError, match="holds x, y; call the matrix 'features'"):
        read_features(tmp_path / "q.npz")


def test_rows_are_found_by_id_or_by_order(tmp_path):
    named = read_features(_write(tmp_path / "q.npz", ROWS, IDS))
    assert in_order(tmp_path, named, ["c", "a"]).tolist() == [2, 0]
    with pytest.raises(DataError, match="lacks 1 of 2 images, such as d; it has ids such as a"):
        in_order(tmp_path, named, ["a", "d"])
    plain = read_features(_write(tmp_path / "q.npy", ROWS))
    with pytest.raises(DataError, match="has 3 rows, but there are 2 images"):
        in_order(tmp_path, plain, ["a", "b"])


# --- labels


def _sides(tmp_path, text, n_query=1, n_gallery=2, ids=None):
    labels = tmp_path / "labels.csv"
    labels.write_text(text, encoding="utf-8")
    files = []
    for name, count in (("q", n_query), ("g", n_gallery)):
        path = tmp_path / (f"{name}.npz" if ids else f"{name}.npy")
        own = None if ids is None else [f"{name}{row}" for row in range(count)]
        rows = np.arange(1, 2 * count + 1, dtype=np.float32).reshape(count, 2)
        files.append((path, read_features(_write(path, rows, own))))
    return read_sides(labels, *files)


def test_labels_come_in_order_or_by_id_and_in_many_dialects(tmp_path):
    query, gallery = _sides(tmp_path, "\ufeffPID;camid;set\n3;1;query\n3;2;gallery\n;;gallery\n")
    assert query.pids.tolist() == [3]
    assert gallery.pids.tolist() == [3, -1]
    assert gallery.camids.tolist() == [2, -1]
    query, gallery = _sides(tmp_path, "pid,camid,distractor\n3.0,1,\n3,2,true\n4,1,0\n")
    assert (query.pids.tolist(), gallery.distractors.tolist()) == ([3], [True, False])
    text = "id,pid,set\ng1,7,gallery\nq0,8,query\ng0,9,gallery\n"
    query, gallery = _sides(tmp_path, text, ids=True)
    assert gallery.pids.tolist() == [7, 9]
    assert gallery.features[0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camid\n1\n", "has the columns camid; pid is needed"),
        ("", "has the columns none"),
        ("pid\n", "no row"),
        ("pid\n1\n2\n", r"has 2 rows, the features have 1 \+ 2; add a column set"),
        ("pid,set\n1,query\n2,gallery\n3,test\n", r"set holds \['test'\]"),
        ("pid,set\n1,query\n", "has no row of gallery"),
        ("pid,set\n1,query\n2,gallery\n", "has 2 rows, but there are 1 images"),
        ("pid,camid\nx,1\n1,1\n1,1\n", "line 2: pid is 'x'; a whole number"),
        ("pid,camid\n1,1\n1,1.5\n1,1\n", "line 3: camid is '1.5'"),
        ("pid,camid\n1\n1,1\n1,1\n", "line 2: 1 cells, the header has 2"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        _sides(tmp_path, text)


def test_ids_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match=r"names its rows, but .* has no column id"):
        _sides(tmp_path, "pid\n1\n1\n1\n", ids=True)
    text = "id,pid,set\ng1,7,gallery\nq0,8,query\ng1,9,gallery\n"
    with pytest.raises(DataError, match="the id 'g1' is there more than once in gallery"):
        _sides(tmp_path, text, ids=True)
    with pytest.raises(DataError, match=r"lacks 1 of 2 images, such as g9"):
        _sides(tmp_path, text.replace("g1,9", "g9,9"), ids=True)
    (tmp_path / "labels.csv").write_bytes("pid\n1\n".encode("utf-16"))
    with pytest.raises(DataError, match="cannot be read as UTF-8"):
        read_sides(tmp_path / "labels.csv", (tmp_path, None), (tmp_path, None))


# --- scores


def _plain_map(query, gallery, q, g):
    """The plainest scores there are: sort, drop junk, average."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery)]
    order = np.argsort(-(unit[0] @ unit[1].T), axis=1, kind="stable")
    scores = []
    for row, ranked in enumerate(order):
        same = g[0][ranked] == q[0][row]
        match = same[~(same & (g[1][ranked] == q[1][row]))]
        ranks = np.flatnonzero(match) + 1
        if len(ranks):
            scores.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    return np.mean(scores)


@pytest.fixture
def market(tmp_path):
    """Noisy identities under cameras that shift every feature."""
    rng = np.random.default_rng(0)
    centres, shifts = rng.normal(size=(30, 32)), 3 * rng.normal(size=(4, 32))
    lines, sets, labels = ["set,pid,camid"], [], []
    for name, count in (("query", 60), ("gallery", 400)):
        pids, cams = rng.integers(0, 30, count), rng.integers(0, 4, count)
        rows = centres[pids] + shifts[cams] + 0.4 * rng.normal(size=(count, 32))
        sets.append(rows.astype(np.float32))
        labels.append((pids, cams))
        np.save(tmp_path / f"{name}.npy", sets[-1])
        lines += [f"{name},{pid},{cam}" for pid, cam in zip(pids, cams, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path, sets, labels


def test_scores_equal_the_plainest_reference(market):
    folder, sets, labels = market
    files = [
        (folder / f"{n}.npy", read_features(folder / f"{n}.npy")) for n in ("query", "gallery")
    ]
    sides = read_sides(folder / "labels.csv", *files)
    scored = dict(score_features(*sides))
    assert list(scored) == ["base", "camera", "nfc", "nfc_rerank"]
    assert scored["base"].mAP == pytest.approx(_plain_map(*sets, *labels), abs=1e-6)
    assert scored["camera"].mAP > scored["base"].mAP + 0.1
    assert set(scored) == set(CHAINS)
    with pytest.raises(ParamsError, match=r"no variant 'ipg'; allowed: base, nfc"):
        list(score_features(*sides, ("ipg",)))


def test_score_command_prints_what_features_are_worth(market):
    from flows.cli.main import app

    folder, sets, labels = market
    arguments = [
        "score",
        *("--query", str(folder / "query.npy"), "--gallery", str(folder / "gallery.npy")),
        *("--labels", str(folder / "labels.csv"), "--variants", "base,nfc_rerank"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert f"{_plain_map(*sets, *labels):.4f}" in result.output
    assert "nfc_rerank" in result.output
    assert "60 x 400 images, 32 numbers each, protocol market" in result.output
    (folder / "labels.csv").write_text("pid\n1\n")
    assert CliRunner().invoke(app, arguments).exit_code == 2
