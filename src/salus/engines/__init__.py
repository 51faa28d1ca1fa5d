"""Who puts transactions in order: `embedded` in one process; `cometbft` between members comes next.

`engine.py` is the promise both keep, `replica.py` one member's own copy, `receipts.py` what is checked offline.
"""
