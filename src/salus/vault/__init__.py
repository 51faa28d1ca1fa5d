"""Encrypted blobs by digest, copied between members. Holds no key, and no index of whose they are.

`packs.py` is the form on disk, `places.py` says which seats keep a blob, `vault.py` what is served to whom.
"""
