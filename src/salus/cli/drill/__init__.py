"""Attacks on a running network, each carried out for real: `salus drill`.

`attack.py` says what an attack is and how it is judged, `world.py` the small network it is aimed at, `command.py` runs
them; then one module per family. Whoever adds an attack adds its guard to `tests/drill`: there every attack runs a
second time with that guard taken out and must succeed, since a drill that cannot fail shows nothing.
"""
