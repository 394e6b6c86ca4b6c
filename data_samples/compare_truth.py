"""Hold the scored sample calls against ``truth.json``: which verdicts agree, which do not.

``python data_samples/compare_truth.py RESULTS [TRUTH]`` prints counts and one line per disagreement.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(results: str, truth_file: str | None = None) -> int:
    """Print the comparison; 0 whatever it says, since a disagreement is a measurement, not a fault."""
    from pipeline.results import load

    path = Path(truth_file) if truth_file else HERE / "truth.json"
    truth = json.loads(path.read_text(encoding="utf-8"))["calls"]
    verdicts = load("verdicts", results)
    found = {(row.call_id, row.rule_id): row for row in verdicts.itertuples()}
    promised = [
        (call_id, rule_id, expected["verdict"] if isinstance(expected, dict) else expected)
        for call_id, call in sorted(truth.items())
        for rule_id, expected in sorted(call["verdicts"].items())
    ]
    agree = uncertain = due = due_agree = 0
    lines: list[str] = []
    for call_id, rule_id, expected in promised:
        row = found.get((call_id, rule_id))
        verdict = row.verdict if row is not None else "missing"
        agree += verdict == expected
        uncertain += verdict == "uncertain"
        if expected != "not_applicable":
            due += 1
            due_agree += verdict == expected
        if verdict != expected:
            reason = row.reason if row is not None else "未评"
            lines.append(f"  {call_id}  {rule_id}: 应为 {expected}，评为 {verdict}（{reason}）")
    print(
        f"与 truth.json 对照：{agree}/{len(promised)} 条一致（{agree / len(promised):.1%}），"
        f"其中待人工 {uncertain} 条；应检的 {due} 条中一致 {due_agree} 条（{due_agree / due:.1%}）"
    )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3] or ["demo_results"]))
