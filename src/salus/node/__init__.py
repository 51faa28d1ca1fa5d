"""One running member: joins engine, keeper, vault, gateway and disk; in one process with others, or in three.

Its two halves are `keeper_side.py` and `gateway_side.py`. In one process `member.py` joins them, `network.py` holds
several on the embedded engine, `local.py` is how they talk. Apart, `parts.py` runs ledger and keeper, `gateways.py` the
gateway, `attached.py` is what both stand on, `http/` the wire, `processes.py` keeps them up. `hosted.py` is what the
doors see of either. `folder.py`, `keys.py`, `site.py` and `stores.py` say what lies where.
"""
