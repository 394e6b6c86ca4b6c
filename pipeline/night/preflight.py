"""What is tried once, before the first call: things that would stop every call of the night."""

from __future__ import annotations

from pipeline.settings import Settings


def check_weights(settings: Settings) -> None:
    """See that the weights are installed and the rulebook loads.

    Raises
    ------
    ModelMissingError
        Names the model and the command that brings it.
    RulebookError
        Lists every problem with file and line.
    """
    from models import required_models
    from models.fetch import installed
    from pipeline.judging.rulebook import load_rulebook

    for name in required_models(settings.model):
        installed(name, settings.model_dir)
    load_rulebook(settings.rulebook)
