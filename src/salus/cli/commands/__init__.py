"""One module per group of commands: what is typed, and how the result is shown. What happens is in `actions/`.

These modules are read at every start, `--help` included, so they import what they need inside the commands.
"""
