"""Salus: a permissioned healthcare ledger. Start reading at README.md, then ARCHITECTURE.md."""
