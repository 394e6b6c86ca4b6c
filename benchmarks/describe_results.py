"""Write ``docs/results.md`` from the schemas: ``python -m benchmarks.describe_results``.

Table of contents: `results_document`, `main`.
"""

from __future__ import annotations

from benchmarks.document import DOCS
from pipeline.results.schemas import PUBLIC, TABLES

_HEAD = """# Results

Parquet datasets under the results folder, partitioned `call_date=YYYY-MM-DD/` (the call's local date). Files
are never changed: a new score is a new row with a higher `version`, and readers take the highest version of
each `call_id`:

```python
from pipeline.results import load

verdicts = load("verdicts", "results/")  # pandas, latest version of every call
scores = load("scores", "results/", latest=False)  # every version
```

`docs/analysts.md` (in Chinese) says how to read them in Python and SQL, and which notebook answers what.
Any Parquet reader can open the files; every column carries its description, unit and Chinese label in the
file's own schema. Times are seconds from the start of the recording. This page is made from the schemas by
`python -m benchmarks.describe_results`.
"""


def results_document() -> str:
    """The whole page."""
    parts = [_HEAD]
    for table in PUBLIC:
        parts += [f"\n## {table}\n", "| column | type | unit | meaning | 中文 |", "|---|---|---|---|---|"]
        for c in TABLES[table]:
            cells = (f"`{c.name}`", str(c.type), c.unit, c.description, c.zh)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    (DOCS / "results.md").write_text(results_document(), encoding="utf-8")


if __name__ == "__main__":
    main()
