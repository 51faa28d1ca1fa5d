"""`salus simulate-scale`: a network of many hospitals, played through on one machine before anybody buys others.

`events.py` is the clockwork, `network.py` what happens at whom, `parameters.py` what everything takes (measured) and
how much of it there is (assumed, each to be replaced by one's own), `report.py` what follows: the first bottleneck and
the cost for a patient and year. `python -m tools.make_scale` writes the page `docs/scale.md` from it.
"""
