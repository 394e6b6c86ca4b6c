"""Chinese in pictures: find a font that has the glyphs, or say what to install.

Table of contents: `use_chinese_fonts`, `chinese_font`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

PREFERRED: tuple[str, ...] = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Hiragino Sans GB",
    "SimHei",
    "Noto Sans CJK JP",
)
_PACKAGED = "noto_cjk_sans_otc"
_SAMPLE = "质检"


def use_chinese_fonts() -> str:
    """Make every plot of this process draw Chinese.

    Returns
    -------
    str
        The font that is used from now on.

    Raises
    ------
    ConfigError
        If this machine has no such font; it says which package brings one.

    Notes
    -----
    Fonts of the system come first, then the one of the package ``noto-cjk-sans-otc`` (SIL Open Font
    License 1.1), which the extra ``notebooks`` installs.

    Examples
    --------
    >>> use_chinese_fonts() in PREFERRED
    True
    """
    import matplotlib as mpl

    name = chinese_font()
    mpl.rcParams["font.family"] = "sans-serif"
    mpl.rcParams["font.sans-serif"] = [name, "DejaVu Sans"]
    mpl.rcParams["axes.unicode_minus"] = False
    return name


def chinese_font(*, system: bool = True) -> str:
    """Name of a font that has Chinese glyphs, known to matplotlib.

    Parameters
    ----------
    system : bool
        Whether fonts of the system count; False for the packaged one only.
    """
    from matplotlib import font_manager

    if system:
        # matplotlib remembers the system's fonts; those installed since are looked up afresh
        _add(
            font_manager, [Path(path) for path in font_manager.findSystemFonts() if "CJK" in Path(path).name]
        )
        found = _first({font.name for font in font_manager.fontManager.ttflist})
        if found:
            return found
    spec = find_spec(_PACKAGED)
    if spec is not None and spec.origin is not None:
        files = sorted(Path(spec.origin).parent.glob("*.ttc"))
        added = _add(font_manager, files)
        found = _first(added)
        if found:
            return found
    raise ConfigError(
        "no font with Chinese characters on this machine, plots would show empty boxes; "
        "`pip install noto-cjk-sans-otc` (any system) or `apt install fonts-noto-cjk` (Debian, Ubuntu)"
    )


def _add(font_manager: Any, files: list[Path]) -> set[str]:
    """Make matplotlib know font files; the names of their fonts."""
    wanted = {str(file) for file in files}
    for file in wanted - {font.fname for font in font_manager.fontManager.ttflist}:
        font_manager.fontManager.addfont(file)
    return {font.name for font in font_manager.fontManager.ttflist if font.fname in wanted}


def _first(names: set[str]) -> str | None:
    return next((name for name in PREFERRED if name in names and _has_glyphs(name)), None)


def _has_glyphs(name: str) -> bool:
    from matplotlib import font_manager

    face = font_manager.get_font(font_manager.findfont(name, fallback_to_default=False))
    return all(face.get_char_index(ord(character)) for character in _SAMPLE)
