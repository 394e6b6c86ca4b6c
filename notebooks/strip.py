"""Clear the outputs of notebooks before they are committed: ``python notebooks/strip.py [FILES]``.

Outputs hold what customers said, and a played recording would hold its sound.

Table of contents: `stripped`, `main`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def stripped(text: str) -> str:
    """Give a notebook's text without outputs, counts, attachments and editors' metadata."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        cell.pop("attachments", None)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    kept = {name: notebook["metadata"].get(name) for name in ("kernelspec", "language_info")}
    kept["language_info"] = {"name": "python"}
    notebook["metadata"] = {name: value for name, value in kept.items() if value}
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def main(files: list[str]) -> None:
    """Rewrite the notebooks that need it; without names, all beside this script."""
    for path in map(Path, files) if files else sorted(Path(__file__).parent.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = stripped(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.name}: outputs cleared")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
