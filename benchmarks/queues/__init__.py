"""The job queues that `benchmarks.jobs` compares, one file each behind `Subject`, each in an environment of its own."""
