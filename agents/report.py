"""A report as one HTML file that needs nothing else: tables, plots and settings inside, no script, no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 76em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 14px; display: block; overflow-x: auto; }
th, td { padding: 0.25em 0.5em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.learned td { font-weight: 600; }
figure { margin: 1.5em 0; }
img { max-width: 100%; }
figcaption, .caption { color: #555; max-width: 60em; }
pre { background: #f5f5f5; padding: 0.8em; overflow-x: auto; }
"""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str] = ()) -> str:
    """An HTML table of texts; ``classes``: a class for each row."""
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    lines = []
    for index, row in enumerate(rows):
        kind = f' class="{escape(classes[index])}"' if classes else ""
        lines.append(f"<tr{kind}>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>")
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>"


def picture(svg: str, caption: str) -> str:
    """An SVG picture with its caption, embedded so that names inside it cannot meet those of another picture."""
    data = b64encode(svg.encode("utf-8")).decode("ascii")
    alt = escape(caption, quote=True)
    return (
        f'<figure><img alt="{alt}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def caption(text: str) -> str:
    """A paragraph in the style of a caption."""
    return f'<p class="caption">{escape(text)}</p>'


def folded(title: str, text: str) -> str:
    """A text that opens on a click."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def page(title: str, parts: Sequence[str]) -> str:
    """The whole file."""
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def provenance(versions: Mapping[str, object]) -> str:
    """One line on what produced the figures, of the data of ``agents.versions``."""
    git = versions.get("git")
    tree = ""
    if isinstance(git, Mapping):
        tree = f", git {str(git.get('revision'))[:12]}" + (" with changes" if git.get("dirty") else "")
    return (
        f"offramp {versions.get('offramp')}{tree}, Python {versions.get('python')}, {versions.get('cpus')} processors, "
        f"{versions.get('created')}"
    )
