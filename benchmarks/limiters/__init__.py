"""The parts of `benchmarks.limits`: what decides, in what applications, and what is done to them."""
