"""What is wrong with the members of a folder, running or at rest, and what to do: `salus doctor`.

    case.py       what a check may look at: one member's folder, opened to look at alone
    examining.py  all checks, over all members here
    folders.py    who may write what; room on the disk
    keys.py       key files: there, private, of an age, and those that the ledger names
    stores.py     databases, vault and ledger: of this format, sound, each with its own key
    standing.py   how the member stands by the ledger: its seat among validators, packs, rules, votes that are due
    copies.py     copies of the ledger held against each other, and their snapshots
    sealing.py    batches: seats and vaults that lack something, packs that have changed since
    engine.py     CometBFT: there, of a version that is known, with the others' time and the others' roots
    wire.py       addresses that are taken; peers that are reached, and prove who they are

Start with `examining.py`. Kinds of findings, with their sentences, are in `observing/findings.py`; what a running
process says of itself is judged in `observing/judging.py`, as for `salus status`. No check writes, waits for long, or
tells of a person; one that cannot be made says so and lets the others go on.
"""
