"""Statistics and pictures for whoever works with results: fair comparisons, intervals, Chinese plots.

Table of contents: `pipeline.analysis.intervals` (`wilson`, `mean_interval`), `pipeline.analysis.groups`
(`by_group`, `standardised`), `pipeline.analysis.fonts` (`use_chinese_fonts`), `pipeline.analysis.plots`
and `pipeline.analysis.callplot` (pictures), `pipeline.analysis.start` (`results_folder`).
"""

from pipeline.analysis.fonts import use_chinese_fonts
from pipeline.analysis.groups import by_group, standardised
from pipeline.analysis.intervals import mean_interval, wilson
from pipeline.analysis.start import results_folder

__all__ = ["by_group", "mean_interval", "results_folder", "standardised", "use_chinese_fonts", "wilson"]
