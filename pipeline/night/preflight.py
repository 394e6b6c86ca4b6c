"""What is tried once, before the first call: things that would stop every call of the night."""

from __future__ import annotations

from pipeline.settings import Settings


def missing_optional(settings: Settings) -> tuple[str, ...]:
    """Names of the optional models that the settings' recogniser could use and that are not installed."""
    from models import WORDS, required_models

    if not required_models(settings.model) or (settings.model_dir / WORDS).is_dir():
        return ()
    return (WORDS,)


def check_weights(settings: Settings) -> None:
    """See that the weights are installed and the rulebook loads.

    Raises
    ------
    ModelMissingError
        Names the model and the command that brings it.
    ConfigError
        The script of a fake model cannot be used.
    RulebookError
        Lists every problem with file and line.
    """
    from models import load_recognizer, required_models
    from models.fetch import adapter_of, installed
    from pipeline.judging.rulebook import load_rulebook

    weights = required_models(settings.model)
    for name in weights:
        installed(name, settings.model_dir)
        adapter_of(name, settings.model_dir)
    if not weights:  # a fake: here its script can be complained of, in a worker nobody would see it
        load_recognizer(settings.model, settings.model_dir)
    load_rulebook(settings.rulebook)
