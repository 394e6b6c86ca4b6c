"""Where a notebook finds its results.

Table of contents: `results_folder`.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import InputError

DEMO = "demo_results"


def results_folder(*, start: Path | None = None) -> str:
    """Tell which results to look at: the setting ``results`` (ZHIJIAN_RESULTS), else those of the demo.

    A relative path is looked for in the working folder and in those above it: a notebook runs in its
    own folder, not where it was started.

    Parameters
    ----------
    start : Path, optional
        Folder in and above which ``zhijian.toml`` and ``demo_results/`` are looked for; the working
        folder by default.

    Raises
    ------
    InputError
        If there are neither.
    """
    from pipeline.settings import CONFIG_FILE, load_settings

    here = (start or Path.cwd()).absolute()
    folders = (here, *here.parents)
    configured = next((folder for folder in folders if (folder / CONFIG_FILE).is_file()), here)
    settings, origins = load_settings(folder=configured)
    if settings.results is not None:
        from_file = any(origin.name == "results" and origin.origin == CONFIG_FILE for origin in origins)
        places = (configured,) if from_file else folders
        return next(
            (str(f / settings.results) for f in places if (f / settings.results).is_dir()), settings.results
        )
    for folder in folders:
        if (folder / DEMO / "scores").is_dir():
            return str(folder / DEMO)
    raise InputError(
        f"no results: ZHIJIAN_RESULTS is not set and there is no {DEMO}/ in or above {here}; "
        "run `make demo` first, or set ZHIJIAN_RESULTS to your results folder"
    )
