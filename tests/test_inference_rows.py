"""Rows from files, synthetic months, preprocessing; wrong files are told in one sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from inference.early_exit import packets, synthetic
from inference.early_exit.months import load_months
from inference.early_exit.preprocessing import CLIP, Preprocessor, distinct
from inference.early_exit.rows import N_FEATURES, Rows, load_rows, row_files, save_rows
from inference.early_exit.similarity import describe

NAMES = [f"f{k}" for k in range(N_FEATURES)]


def write(path: Path, header: list[str], *lines: list[object]) -> Path:
    path.write_text("\n".join([",".join(header), *(",".join(map(str, line)) for line in lines)]) + "\n")
    return path


def test_rows_load_as_they_were_saved(tmp_path: Path) -> None:
    rows = synthetic.month(0, 3, 200)
    save_rows(rows, tmp_path / "a.csv")
    loaded = load_rows(tmp_path / "a.csv")
    assert loaded.names == rows.names and loaded.source == "a"
    np.testing.assert_array_equal(loaded.features, rows.features)
    np.testing.assert_array_equal(loaded.labels, rows.labels)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    assert load_rows(tmp_path / "b.csv.gz").source == "b"


def test_columns_may_stand_in_any_order_and_classes_be_words(tmp_path: Path) -> None:
    header = ["class", *reversed(NAMES)]
    path = write(tmp_path / "a.csv", header, ["attack", *range(58)], ["normal", *range(58)], [1, *range(58)])
    rows = load_rows(path, NAMES)
    assert rows.features[0].tolist() == list(range(57, -1, -1))
    assert rows.labels.tolist() == [1, 0, 1]
    unlabelled = load_rows(write(tmp_path / "b.csv", NAMES, list(range(58))))
    assert unlabelled.label is None
    with pytest.raises(ValueError, match="b: column 'class' is missing, expected labelled rows"):
        _ = unlabelled.labels


def test_files_whose_columns_stand_in_other_orders_are_joined_by_name(tmp_path: Path) -> None:
    first = load_rows(write(tmp_path / "a.csv", [*NAMES, "class"], [*range(58), 1]))
    other = load_rows(write(tmp_path / "b.csv", [*reversed(NAMES), "class"], [*reversed(range(58)), 0]))
    assert other.features[0, 0] == 57
    whole = Rows.joined([first, other])
    assert whole.features.tolist() == [[*range(58)]] * 2 and whole.labels.tolist() == [1, 0]
    assert (whole.names, whole.source) == (first.names, "a..b")
    strange = load_rows(write(tmp_path / "c.csv", [*NAMES[1:], "other"], [*range(58)]))
    with pytest.raises(ValueError, match=r'^c: column "f0" is missing, expected 58 features$'):
        Rows.joined([first, strange])


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        (NAMES[1:], [0] * 57, "line 1: the number of features is 57, expected 58"),
        ([*NAMES, "class"], [0] * 58 + [2], "line 2: field 'class' is 2, expected 0"),
        (NAMES, ["x"] + [0] * 57, "line 2: field 'f0' is \"x\", expected a finite number"),
        (NAMES, ["nan"] + [0] * 57, "line 2: field 'f0' is \"nan\", expected a finite number"),
        (NAMES, [""] + [0] * 57, "line 2: field 'f0' is \"\", expected a finite number"),
        (NAMES, [0] * 57, "line 2: the number of fields is 57, expected 58"),
    ],
)
def test_wrong_files_are_told(tmp_path: Path, header: list[str], line: list[object], message: str) -> None:
    path = write(tmp_path / "a.csv", header, line)
    with pytest.raises(ValueError, match=message) as caught:
        load_rows(path)
    assert str(path) in str(caught.value)


def test_columns_of_another_network_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", NAMES, [0] * 58)
    with pytest.raises(ValueError, match=r"a.csv, line 1: column .*other.* is missing"):
        load_rows(path, [*NAMES[1:], "other"])
    with pytest.raises(ValueError, match="is an unknown column"):
        load_rows(path, NAMES[1:])
    with pytest.raises(ValueError, match="holds no rows"):
        load_rows(write(tmp_path / "b.csv", NAMES))
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(ValueError, match="holds no header"):
        load_rows(tmp_path / "c.csv")
    with pytest.raises(ValueError, match="there is no such file"):
        load_rows(tmp_path / "d.csv")


def test_months_of_folders(tmp_path: Path) -> None:
    for name in ("2016_02.csv", "2016_01.csv"):
        write(tmp_path / name, [*NAMES, "class"], [0] * 59)
    assert [path.name for path in row_files([tmp_path])] == ["2016_01.csv", "2016_02.csv"]
    # Hydra reads 2016_02 as a number and hands on 201602
    assert [path.name for path in row_files([tmp_path], ["201602"])] == ["2016_02.csv"]
    with pytest.raises(
        ValueError, match=r"there is no 2016_03.csv or 2016_03.csv.gz, expected one of 2016_01, 2016_02"
    ):
        row_files([tmp_path], ["2016_03"])
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no file of rows"):
        row_files([tmp_path / "none"])
    with pytest.raises(ValueError, match="names 2016_01 2 times"):
        load_months([str(tmp_path), str(tmp_path / "2016_01.csv")], [], ())
    with pytest.raises(ValueError, match="months has the entry 2016_01, but without data months are synthetic"):
        load_months([], ["2016_01"], ())


def test_synthetic_months_follow_from_the_seed() -> None:
    first, again, other = synthetic.month(1, 0, 500), synthetic.month(1, 0, 500), synthetic.month(1, 1, 500)
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.features, other.features)
    assert len(first.names) == N_FEATURES == len(set(first.names)) and np.isfinite(first.features).all()


def test_synthetic_months_resemble_the_public_data() -> None:
    """Figures of the public months: 1,280-1,910 distinct rows, a third one row, 56-71 % with both labels, caps .92-.96."""
    found = [describe(synthetic.month(index, 0)) for index in (0, 2, synthetic.HARD)]
    for entry in found:
        assert entry.attacks == 0.5 and 1_700 < entry.distinct < 2_050
        assert 0.3 < entry.most_frequent < 0.36 and 0.56 < entry.contradictory < 0.71 and entry.zeros > 0.4
    assert 0.94 < found[0].best_accuracy < 0.96
    assert found[2].best_accuracy < found[0].best_accuracy - 0.02


def test_statistics_of_packets() -> None:
    """A flow of three packets by hand: 100 bytes there, 40 back after a second, 400 there after two more."""
    flow = packets.Packets(
        np.array([3]),
        np.array([[0.0, 1.0, 2.0, 9.0]]),
        np.array([[100.0, 40.0, 400.0, 9.0]]),
        np.array([[False, True, False, True]]),
        np.array([True]),
    )
    found = dict(zip(packets.NAMES, packets.features(flow)[0], strict=True))
    expected = {
        "gap_min": 1 / 60,
        "gap_max": 2 / 60,
        "gap_mean": 1.5 / 60,
        "gap_max_a_b": 3 / 60,
        "gap_min_b_a": 1.0,
        "gap_max_b_a": 0.0,
        "bytes_median": 100 / 1500,
        "bytes_mean_a_b": 250 / 1500,
        "bytes_variance_a_b": (150 / 1500) ** 2,
        "packets_a_b": 2 / 200,
        "acks_a_b": 1 / 200,
        "pure_acks_b_a": 1 / 200,
        "pushed_a_b": 1 / 200,
        "fin_a_b": 1 / 200,
        "fin_b_a": 0.0,
        "throughput_a_b": 500 / 3 / 1500 / 1e3,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_preprocessing_standardises_cuts_and_lays_out() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(3, 2, (400, 58))
    features[:, 7] = 0.1
    features[0, 0] = 1e6
    flat, square = (Preprocessor.fit(NAMES, features, layout) for layout in ("flat", "square"))
    made = flat(features)
    assert made.dtype == np.float32 and made[0, 0] == CLIP and not made[:, 7].any()
    assert abs(made[:, 3].mean()) < 1e-2 and abs(made[:, 3].std() - 1) < 1e-2
    assert flat(features + 5)[0, 7] == 0  # nothing was learned about a column that was constant
    laid = square(features)
    assert laid.shape == (400, 1, 8, 8)
    np.testing.assert_array_equal(laid.reshape(400, 64)[:, :58], made)
    assert not laid.reshape(400, 64)[:, 58:].any()
    with pytest.raises(ValueError, match=r"shape \(400, 57\), expected \(rows, 58\)"):
        flat(features[:, 1:])


def test_preprocessing_survives_its_file_bit_by_bit() -> None:
    rows = synthetic.month(0, 0, 300)
    before = Preprocessor.fit(rows.names, rows.features, "square")
    after = Preprocessor.from_dict(before.to_dict())
    assert before(rows.features).tobytes() == after(rows.features).tobytes()
    with pytest.raises(ValueError, match="version 2, expected 1"):
        Preprocessor.from_dict({**before.to_dict(), "version": 2})


def test_distinct_rows() -> None:
    inputs = np.array([[1, 2], [3, 4], [1, 2], [-0.0, 0], [0, 0]], np.float32)
    first, inverse = distinct(inputs)
    assert first.tolist() == [0, 1, 3] and inverse.tolist() == [0, 1, 0, 2, 2]


def test_rows_of_files_with_other_features_are_not_joined() -> None:
    one = Rows(("a", "b"), np.zeros((1, 2)), None, "one")
    with pytest.raises(ValueError, match=r"two: column .*b.* is missing"):
        Rows.joined([one, Rows(("a", "c"), np.zeros((1, 2)), None, "two")])
