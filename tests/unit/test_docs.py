"""Generated pages are what their generators say."""

from builders import ROOT

from benchmarks.describe_results import results_document


def test_the_page_of_columns_is_current():
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == results_document()
