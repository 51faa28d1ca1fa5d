"""`salus bench network`: four members as processes of this machine, CometBFT between them.

`processes` starts and counts them, `load` makes transactions and hands them over, `ordering` and `floor` measure our
ledger and CometBFT's own kvstore under the same load, `beginning` how soon `salus up` serves, `whole` what people feel;
`measuring` has it all. `joining` is a measurement by itself.
"""
