"""The rules, a folder each: members, credentials, records, cells, consent, reads.

A contract asks others, earlier in that order, through their `reads`; it writes only its own keys.
"""
