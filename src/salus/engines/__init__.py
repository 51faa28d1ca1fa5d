"""Who puts transactions in order: `embedded` in one process, `cometbft` between members.

`engine.py` is the promise both keep; `replica.py` one member's own copy, `follower.py` the same copy as another process
reads it, and `layout.py` where it lies on disk;
`receipts.py` what is checked offline; `check.py` whether a ledger is what its blocks say. Of the embedded engine,
`agreement.py` makes a block final and `queue.py` chooses what goes into it. `lmdb_store.py` is the disk; `measure.py`
and `growth.py` are for `salus bench`.
"""
