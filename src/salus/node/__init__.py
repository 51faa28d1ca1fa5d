"""One running member: joins engine, keeper, vault, gateway and disk; and a network of them in one process.

`member.py` is one member, `network.py` several on the embedded engine, `local.py` how they talk, `keys.py` what lies in
a member's folder.
"""
