"""A member's backup: one encrypted file, taken while it runs, and what comes of it when it is put back.

sealed_file.py   how the file is encrypted, and what finds a wrong passphrase or a changed byte
copies.py        databases and ledgers as of one moment, copied while somebody writes them
taking.py        what is in a backup, and what is not
putting_back.py  a backup becomes a folder again, whole or not at all
"""
