"""Networks of real processes put through trouble: killed, stopped, cut off, slowed down, lied to."""
