"""Measurements of the running system, each with its floors in the same run: `salus bench NAME`.

`command.py` is the command, `figures.py` what a measurement answers, `stage.py` the network it runs on; then one module
per measurement. Kept figures of releases are in `bench/` at the top of the repository.
"""
