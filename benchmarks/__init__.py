"""Side-by-side measurements against peers: `python -m benchmarks.<area>` prints one table for one run."""
