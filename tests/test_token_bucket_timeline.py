"""Timelines of policies: who sends which frame, counted by hand and by replay, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agents.token_bucket.timeline import draw_timeline
from envs.token_bucket.bucket import Bucket
from envs.token_bucket.scenarios import scenario
from envs.token_bucket.streams import Streams, replay
from envs.token_bucket.types import Trace


def timeline_of(path: Path, policies: dict[str, list[int]], **options: Any) -> dict[str, int]:
    """The timeline of a trace of eight frames, one a unit, in a bucket of rate 1/2 and depth 1."""
    trace = Trace(np.linspace(0.1, 0.8, 8), np.ones(7, np.int64))
    sent = {name: np.isin(np.arange(8), frames) for name, frames in policies.items()}
    return draw_timeline(trace, Bucket.of(0.5, 1), sent, path, **options)


def test_timeline_counts_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "timeline.svg"
    assert timeline_of(path, {"A": [0, 3, 5], "B": [0, 4, 6]}) == {"A only": 2, "B only": 2, "both": 1, "kept": 3}
    first = path.read_bytes()
    assert b"<svg" in first
    timeline_of(path, {"A": [0, 3, 5], "B": [0, 4, 6]})
    assert path.read_bytes() == first
    # frame 1 comes after half a token only: it is kept, whatever A wants
    assert timeline_of(path, {"A": [0, 1, 2]}) == {"A": 2, "kept": 6}
    counts = timeline_of(path, {"A": [0, 2], "B": [0, 4], "C": [0, 2, 7]}, title="three")
    assert counts == {"A only": 0, "B only": 1, "C only": 1, "all": 1, "some": 1, "kept": 4}
    # decisions before the window count for its tokens, not for its numbers
    counts = timeline_of(path, {"A": [0, 3, 5], "B": [0, 4, 6]}, start=4, count=2)
    assert counts == {"A only": 1, "B only": 1, "both": 0, "kept": 0}


def test_timeline_of_streams_with_regimes_and_gaps(tmp_path: Path) -> None:
    streams = Streams.draw(scenario("s3", reset=0.1, leave=(0.05, 0.03)), 3, 400, 7)
    bucket = Bucket.of("0.1", 4)
    wish = {"low": streams.metric[1] > 0.3, "high": streams.metric[1] > 0.5}
    really = {}
    for name, mask in wish.items():
        tokens = replay(streams, bucket, np.tile(mask, (3, 1))).tokens[1]
        really[name] = mask & (tokens >= bucket.cost)
    path = tmp_path / "timeline.png"
    counts = draw_timeline(streams, bucket, wish, path, start=100, count=250, stream=1)
    low, high = (really[name][100:350] for name in ("low", "high"))
    assert counts["low only"] == (low & ~high).sum()
    assert counts["high only"] == (high & ~low).sum()
    assert counts["both"] == (low & high).sum() > 0
    assert sum(counts.values()) == 250
    with Image.open(path) as picture:
        assert picture.format == "PNG"
    assert sum(draw_timeline(streams, bucket, wish, path, start=399).values()) == 1
    with_none = draw_timeline(streams, bucket, {"nothing": np.zeros(400, np.bool_)}, path)
    assert with_none == {"nothing": 0, "kept": 400}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "timeline.pdf"}, "expected a file that ends in .svg or .png"),
        ({"policies": {}}, "0 policies were given, expected 1 to 9"),
        ({"start": 400}, "expected one within the 400 frames"),
        ({"start": 300, "count": 101}, "expected one within the 400 frames"),
        ({"stream": 2}, "stream is 2, expected one of the 2"),
        ({"policies": {"A": np.ones(5, np.bool_)}}, r"A has decisions of shape \(5,\), expected \(400,\)"),
    ],
)
def test_timeline_names_what_is_wrong(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    streams = Streams.draw(scenario("s1"), 2, 400, 7)
    given = {"path": "timeline.svg", "policies": {"A": np.ones(400, np.bool_)}, "start": 0} | change
    with pytest.raises(ValueError, match=message):
        draw_timeline(streams, Bucket.of("0.1", 4), path=tmp_path / given.pop("path"), **given)
    assert not list(tmp_path.iterdir())
