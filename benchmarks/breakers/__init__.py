"""Circuit breakers, retries and time-outs, side by side."""
