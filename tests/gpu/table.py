"""The JSON of `make gpu` as Markdown, to be read and pasted: `python3 tests/gpu/table.py build/gpu.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]
LONGEST = 160  # characters of a reason


def tables(report: Mapping[str, Any]) -> str:
    """A row for each check, and a table of its own for every figure that has rows and columns."""
    lines = [f"{report['device'] or 'no GPU'}, {report['time']}", "", "| check | outcome | s | |", "|---|---|---|---|"]
    grids: list[tuple[str, Rows]] = []
    for name, result in report["checks"].items():
        figures = {key: value for key, value in result.items() if key not in ("outcome", "seconds", "reason")}
        grids += [(f"{_spoken(name)}: {key}", value) for key, value in figures.items() if _is_grid(value)]
        said = "; ".join(f"{key} {_short(value)}" for key, value in figures.items() if not _is_grid(value))
        reason = str(result.get("reason", "")).strip().splitlines()[-1:]
        cells = (_spoken(name), result["outcome"], result.get("seconds", ""), said or "".join(reason)[:LONGEST])
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, *(line for title, grid in grids for line in _grid(title, grid))]) + "\n"


def _grid(title: str, rows: Rows) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    head = ["", f"{title}:", "", "| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    cells = ((name, *(_short(row.get(column, "")) for column in columns)) for name, row in rows.items())
    return head + ["| " + " | ".join(row) + " |" for row in cells]


def _is_grid(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, Mapping) for row in value.values())


def _spoken(name: str) -> str:
    return name.removeprefix("check_").replace("_", " ")


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(tables(json.loads(Path(sys.argv[1]).read_text())), end="")
