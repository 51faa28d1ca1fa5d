"""Encrypted blobs by digest, copied between members. Holds no key, and no index of whose they are.

`packs.py` is the form of a pack, `storage.py` and `s3.py` are where packs lie, `formats.py` how that may change,
`places.py` says which seats keep a blob, `vault.py` what is served to whom.
"""
