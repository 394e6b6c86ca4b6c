"""The pages in a real headless Chromium: no complaint, no request, and everything can be clicked.

`make browser` installs Chromium where apt can; without it these tests are passed over.
"""

from __future__ import annotations

import pytest

from pipeline.disputes.archive import archive_rulebook
from pipeline.records import Turn, Word
from pipeline.report.callfacts import gather
from pipeline.report.callpage import call_page
from pipeline.report.clips import cut_clips, evidence_spans
from tests.disputes.dispute_builders import inbound_turns, make_call, make_hearing, make_store, scored
from tests.report import chromium
from tests.report.test_call_page import EVIL, NOW

pytestmark = pytest.mark.skipif(
    chromium.find() is None,
    reason="2026-11-22: no Chromium on this machine; `make browser` installs Debian's package",
)


@pytest.fixture(scope="module")
def browser():
    found = chromium.Browser()
    yield found
    found.close()


def write(tmp_path, call=None, hearing=None, *, with_audio=False):
    from dataclasses import replace

    store = make_store(tmp_path / "r", [scored(call, hearing)])
    archive_rulebook(store)
    facts = gather(store, "c1", made_at=NOW)
    if with_audio:
        import numpy as np

        from pipeline.disputes.policy import load_policy
        from pipeline.hearing.audio import Recording

        tone = 0.1 * np.sin(np.arange(50 * 8000) / 8).astype(np.float32)
        recording = Recording(np.stack([tone, tone]), 8000, 50.0, "wav/pcm")
        clips = cut_clips(recording, evidence_spans(facts.shown.judgement.verdicts), load_policy())
        facts = replace(facts, clips=clips)
    path = tmp_path / "page.html"
    path.write_text(call_page(facts), encoding="utf-8")
    return path


def test_a_verdict_shows_its_words_and_words_their_verdict(browser, tmp_path):
    browser.open(write(tmp_path))
    thanks = "document.querySelector('article[data-name=\"结束致谢与祝愿\"]')"
    number = browser.run(f"{thanks}.id").removeprefix("v-")
    browser.click(f"#v-{number} button.pick")
    marked = browser.run("[...document.querySelectorAll('a.ev.sel')].map(n => n.textContent).join('')")
    assert "感谢您的来电" in marked
    assert "祝您生活愉快" in marked
    assert browser.run(f"{thanks}.classList.contains('sel')")
    assert "已标出" in browser.run("document.getElementById('said').textContent")
    # Words the other way: the verdict of what was clicked comes into view.
    browser.press("Escape")
    assert browser.run("document.querySelectorAll('.sel').length") == 0
    browser.click("a.ev")
    card = "document.querySelector('.card.sel')"
    assert browser.run(f"{card}.id.slice(2) === document.querySelector('a.ev').dataset.v.split(' ')[0]")
    box = browser.run(f"(r => [r.top, r.bottom, innerHeight])({card}.getBoundingClientRect())")
    assert box[1] > 0
    assert box[0] < box[2]
    assert browser.complaints() == []


def test_times_move_the_cursor_and_show_the_turn(browser, tmp_path):
    browser.open(write(tmp_path))
    browser.click("#turn-4 a.time")
    assert browser.run("document.getElementById('turn-4').classList.contains('here')")
    line = "document.getElementById('cursor')"
    assert browser.run(f"getComputedStyle({line}).visibility") == "visible"
    expected = browser.run(
        "(s => +s.dataset.left + 27 * s.dataset.perS)(document.querySelector('svg.picture'))"
    )
    assert float(browser.run(f"{line}.getAttribute('x1')")) == pytest.approx(expected)
    browser.click("svg.picture a[href='#turn-2'] rect")
    assert browser.run("document.getElementById('turn-2').classList.contains('here')")
    assert browser.complaints() == []


def test_a_click_on_a_time_plays_its_clip(browser, tmp_path):
    browser.open(write(tmp_path, with_audio=True))
    assert browser.run("document.querySelectorAll('audio').length") > 0
    browser.click("li:has(audio) a.time")
    playing = (
        "new Promise(done => { const a = document.querySelector('li audio'); const t = setInterval(() => {"
        "if (!a.paused && a.currentTime > 0) { clearInterval(t); done(true); } }, 20); "
        "setTimeout(() => done(false), 5000); })"
    )
    assert browser.run(playing)
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_fits_its_window(browser, tmp_path, width):
    browser.open(write(tmp_path), width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []


def test_what_was_said_cannot_run(browser, tmp_path):
    call = make_call(agent_name=EVIL, business=EVIL)
    turns = (Turn("agent", 1.0, 4.0, EVIL, words=(Word(EVIL, 1.0, 4.0),)), *inbound_turns()[1:])
    path = write(tmp_path, call, make_hearing(turns))
    browser.open(path)
    assert browser.run("document.images.length + document.querySelectorAll('main script').length") == 0
    assert EVIL[:20] in browser.run("document.querySelector('main').textContent")
    assert browser.complaints() == []


def test_the_policy_of_the_page_stops_what_is_not_its_own(browser, tmp_path):
    """Even if escaping failed one day, nothing would run and nobody would be asked."""
    path = write(tmp_path)
    text = path.read_text(encoding="utf-8")
    evil = "<script>window.ran = true</script><img src='http://127.0.0.1:9/x' onerror='window.ran = true'>"
    path.write_text(text.replace("</main>", evil + "</main>"), encoding="utf-8")
    browser.open(path)
    assert browser.run("window.ran === undefined")
    assert any("Content Security Policy" in line for line in browser.complaints())


def test_it_prints_with_everything_open(browser, tmp_path):
    browser.open(write(tmp_path))
    pdf = tmp_path / "page.pdf"
    browser.pdf(pdf)
    assert pdf.read_bytes().startswith(b"%PDF")
    assert browser.run("[...document.querySelectorAll('details')].every(node => node.open)")


def test_everything_that_can_be_clicked_has_a_name(browser, tmp_path):
    browser.open(write(tmp_path))
    nameless = browser.run(
        "[...document.querySelectorAll('a[href],button')].filter(n => !(n.textContent.trim() || "
        "n.getAttribute('aria-label'))).length"
    )
    assert nameless == 0
    assert browser.run("document.documentElement.lang") == "zh-CN"
    assert browser.run("document.querySelectorAll('h1').length") == 1
