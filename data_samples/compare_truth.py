"""Hold the scored sample calls against ``truth.json``: which verdicts agree, which do not.

``python data_samples/compare_truth.py RESULTS`` prints one line of counts and one line per disagreement.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(results: str) -> int:
    """Print the comparison; 0 whatever it says, since a disagreement is a measurement, not a fault."""
    from pipeline.results import load

    truth = json.loads((HERE / "truth.json").read_text(encoding="utf-8"))["calls"]
    verdicts = load("verdicts", results)
    found = {(row.call_id, row.rule_id): row for row in verdicts.itertuples()}
    promised = [
        (call_id, rule_id, expected["verdict"] if isinstance(expected, dict) else expected)
        for call_id, call in sorted(truth.items())
        for rule_id, expected in sorted(call["verdicts"].items())
    ]
    agree = uncertain = 0
    lines: list[str] = []
    for call_id, rule_id, expected in promised:
        row = found.get((call_id, rule_id))
        verdict = row.verdict if row is not None else "missing"
        agree += verdict == expected
        uncertain += verdict == "uncertain"
        if verdict != expected:
            reason = row.reason if row is not None else "未评"
            lines.append(f"  {call_id}  {rule_id}: 应为 {expected}，评为 {verdict}（{reason}）")
    print(
        f"与 truth.json 对照：{agree}/{len(promised)} 条一致（{agree / len(promised):.1%}），"
        f"其中待人工 {uncertain} 条"
    )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or ["demo_results"]))
