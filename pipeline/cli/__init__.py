"""The ``zhijian`` command: thin; every subcommand is one call into the pipeline."""
