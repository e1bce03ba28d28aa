"""The caches that `benchmarks.cache` compares, one file each behind `Subject`."""
