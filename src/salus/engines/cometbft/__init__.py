"""CometBFT between members: its light client and receipts, and the engine beside it.

CometBFT orders blocks in a process of its own and asks this one, the application, to check, propose, apply and keep
them (ABCI 2.0): `application.py` answers, over `server.py` and `frames.py`; `proposing.py` chooses what goes into a
block, `snapshots.py` lets one join without replay. `engine.py` submits, by way of `rpc.py`. `config.py` writes what
CometBFT reads, `supervisor.py` runs it, `unit.py` joins all that into a member's ledger process; `link.py` serves the
member's other processes, whose end is `engines/follower.py`. `receipts.py` and `light.py` check its proofs offline.
"""
