"""The job queues that `benchmarks.jobs` compares, one file each, all behind `Subject`."""
