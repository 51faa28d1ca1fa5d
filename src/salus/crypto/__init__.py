"""Digests, signatures, sealing, shares, trees: few words over reviewed libraries, the only room that touches them.

`digests` names things, `signatures` says who speaks, `hpke` seals to a person or a keeper, `documents` seals content,
`sealing_at_rest` wraps what a member stores, `shares` splits a document's key among keepers, `merkle` proves
membership. Chance always arrives as an argument, except where a library draws it itself: the salt of a sealed document
and the encapsulation of an HPKE message. The errors and their codes are in `errors`.
"""
