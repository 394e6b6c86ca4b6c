"""``python -m pipeline.cli`` is the ``zhijian`` command."""

from pipeline.cli.main import run

if __name__ == "__main__":
    run()
