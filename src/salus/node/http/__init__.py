"""The transport between machines: the bytes of `core.transport` over HTTP/1.1 and mutual TLS 1.3.

`certificates.py` what a member makes for itself and what follows from the ledger; `trust.py` who is believed;
`client.py` the calling end, with `lines.py`, `breaker.py` and `places.py`; `server.py` the receiving end, with
`protocol.py`, `admission.py`, `replies.py` and `listening.py`; `health.py` the operator's own port. Why it is built so:
docs/decisions/0022.
"""
