"""A report in one HTML file: text, tables and figures, with nothing fetched from anywhere."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from btard.durable import write_durably
from btard.lab.study.canvas import Exported

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c2733; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d8dee5; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; display: block; overflow-x: auto; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #e6eaef; text-align: right; white-space: nowrap; }
th { background: #f4f6f9; } td:first-child, th:first-child { text-align: left; }
figure { margin: 1.5rem 0; } figure svg { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  body { background: #14181d; color: #dbe2ea; } th { background: #1f262e; } td, th { border-color: #2b343e; }
  figure { background: #ffffff; }
}
"""


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables and figures, in this order. Text is plain; nothing in it is markup."""

    heading: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[pd.DataFrame] = ()
    figures: Sequence[Exported] = ()


def write_html(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write the report; it holds the figures as SVG and needs neither script nor network."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for number, section in enumerate(sections):
        parts.append(f"<h2>{html.escape(section.heading)}</h2>")
        parts += [f"<p>{html.escape(text)}</p>" for text in section.paragraphs]
        parts += [table_html(table) for table in section.tables]
        parts += [_figure(figure, f"f{number}-{place}-") for place, figure in enumerate(section.figures)]
    body = "\n".join(parts)
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n{body}\n'
        "</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, text.encode())


def table_html(table: pd.DataFrame) -> str:
    """Return a table as HTML; numbers have four significant digits, and a dash stands for nan."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in table.columns)
    rows = [
        "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>"
        for row in table.itertuples(index=False)
    ]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return "-" if value is None else str(value)


def _figure(figure: Exported, prefix: str) -> str:
    """Return a figure with the names inside its SVG made unique, since all share one page."""
    svg = figure.svg.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'id="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)
    caption = html.escape(f"{figure.title} ({figure.svg.stem}.svg, .png, .csv)")
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"
