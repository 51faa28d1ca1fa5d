"""Every attack of `salus drill`, with its guard in place and with its guard taken out."""
