"""Chinese text in a terminal: no line too wide, nothing lost, no stop at the beginning of a line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, Group

from pipeline.report.wrapped import Wrapped, breaks

TEXTS = st.text(alphabet="未听到承诺 24小时内，。；（）“”「」abc0:12.9–≤", max_size=80)


@given(TEXTS, st.integers(8, 40))
def test_lines_fit_and_nothing_is_lost(text, width):
    ends = [*breaks(text, width), len(text)]
    lines = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert "".join(lines) == text
    assert all(cell_len(line.rstrip()) <= width for line in lines)


def test_a_number_keeps_its_unit_on_the_line_and_stops_stay_behind():
    text = Wrapped("双因素身份验证，不强行挂断，结束致谢与祝愿，15 秒内接起，开场问候，超时接起须致歉")
    console = Console(width=40)
    with console.capture() as taken:
        console.print(Group(text))
    lines = taken.get().splitlines()
    assert lines[0].rstrip() == "双因素身份验证，不强行挂断，结束致谢与祝"
    assert not any(line.startswith(("，", "）", "。")) for line in lines)
    assert any("15 秒内接起" in line for line in lines)
