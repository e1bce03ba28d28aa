"""Caches: process memory, a store that processes share, and the source behind them, as one."""
