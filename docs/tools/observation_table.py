"""The observation tables of docs/distprivacy.md, made of the features in ``envs.distprivacy.features``.

``python docs/tools/observation_table.py`` prints them; ``--write`` puts them between the markers of the page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from envs.atomic import write_text_atomic  # noqa: E402
from envs.distprivacy.features import (  # noqa: E402
    DEVICE_FEATURES,
    PAPER_DEVICE_FEATURES,
    PAPER_REQUEST_FEATURES,
    REQUEST_FEATURES,
    Feature,
    bounds,
    layout,
)

PAGE = ROOT / "docs" / "distprivacy.md"
KINDS = ("full", "paper")
_SIZES = (101, 103)  # two numbers of device slots, from which the offsets in D follow; larger than any constant part


def features(kind: str) -> dict[str, Feature]:
    """Name -> feature of an observation, in no order; the mask, which the code makes on the fly, is added."""
    if kind == "paper":
        return {feature.name: feature for feature in PAPER_REQUEST_FEATURES + PAPER_DEVICE_FEATURES}
    mask = Feature("mask", "the device may take the next map (look-ahead)", "0/1")
    return {feature.name: feature for feature in (*DEVICE_FEATURES, *REQUEST_FEATURES, mask)}


def _in_devices(small: int, large: int) -> str:
    """An offset as a text in D, from its values for both sizes."""
    slope = (large - small) // (_SIZES[1] - _SIZES[0])
    rest = small - slope * _SIZES[0]
    head = "" if slope == 0 else "D" if slope == 1 else f"{slope}D"
    if not head:
        return str(rest)
    return head if rest == 0 else f"{head}+{rest}"


def table(kind: str) -> str:
    """The Markdown table of an observation ("full" or "paper"): slice, name, meaning, unit, range."""
    small, large = (layout(kind, size) for size in _SIZES)
    low, high = bounds(kind, _SIZES[0])
    known = features(kind)
    lines = ["| slice | name | meaning | unit | range |", "|---|---|---|---|---|"]
    for name, part in small.items():
        start, stop = _in_devices(part.start, large[name].start), _in_devices(part.stop, large[name].stop)
        place = f"`{start}`" if part.stop - part.start == 1 else f"`{start} : {stop}`"
        least, most = float(low[part].min()), float(high[part].max())
        feature = known[name]
        lines.append(f"| {place} | `{name}` | {feature.meaning} | {feature.unit} | {least:g} to {most:g} |")
    return "\n".join(lines)


def markers(kind: str) -> tuple[str, str]:
    """First and last line of the place of a table in the page."""
    return (
        f"<!-- observation {kind}: begin, by docs/tools/observation_table.py -->",
        f"<!-- observation {kind}: end -->",
    )


def filled(page: str) -> str:
    """``page`` with fresh tables between its markers. Raises ``ValueError`` where a marker is missing."""
    for kind in KINDS:
        begin, end = markers(kind)
        head, found, rest = page.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{PAGE}: the markers of the table {kind!r} are missing, expected {begin!r} and {end!r}")
        page = f"{head}{begin}\n\n{table(kind)}\n\n{end}{tail}"
    return page


def main() -> None:
    """Print the tables, or write them to the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help=f"write them to {PAGE.relative_to(ROOT)}")
    if parser.parse_args().write:
        write_text_atomic(PAGE, filled(PAGE.read_text(encoding="utf-8")))
    else:
        print("\n\n".join(f"{kind}\n\n{table(kind)}" for kind in KINDS))


if __name__ == "__main__":
    main()
