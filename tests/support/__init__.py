"""What several tests share: a network with fixed keys, and a ledger in memory."""
