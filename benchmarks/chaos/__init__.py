"""Jobs under everything that kills, pauses and cuts off: `python -m benchmarks.chaos`.

enqueuers ── an order and its job in one transaction, all the time; one in ten is rolled back
workers, schedulers ── `roadworthy work` and `roadworthy schedule`, as in production, restarted when they end
disturbances ── one every few seconds, drawn by the seed
ledger ── what every job wrote in the transaction that was its end, and the judgement over it
"""
