"""Ordered keys and values, typed tables over them, one Merkle root, and proofs against it. Quiet: no disk.

Read `key_value.py` (what a store is), `state.py` (what a contract sees), `table.py` and `keys.py` (typed access), then
`tree.py`, `pages.py` and `proofs.py` (the root). The store on disk is `engines.lmdb_store`.
"""

from salus.state.errors import CorruptPageError, CorruptValueError
from salus.state.key_value import KeyValue, MemoryStore, Prefixed
from salus.state.keys import Bytes, Integer, KeyPart, Text
from salus.state.proofs import Proof, prove, verify
from salus.state.state import State, checked_root
from salus.state.table import Table

__all__ = [
    "Bytes",
    "CorruptPageError",
    "CorruptValueError",
    "Integer",
    "KeyPart",
    "KeyValue",
    "MemoryStore",
    "Prefixed",
    "Proof",
    "State",
    "Table",
    "Text",
    "checked_root",
    "prove",
    "verify",
]
