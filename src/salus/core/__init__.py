"""The shared vocabulary: ids and units, canonical bytes, errors, and the context a rule runs in.

Every room may import this one; it imports none. Read `wire.py` for how anything becomes bytes.
"""
