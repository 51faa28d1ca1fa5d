"""The `salus` command: thin words over sdk and node. Read `README.md` for who may say what, and for the exit codes.

`main.py` is where it begins, `app.py` what may be typed, `commands/` how it is shown, `actions/` what happens,
`home.py` the folder it happens in. `demo/`, `drill/`, `bench/` and `importing/` are large enough to live alone.
"""
