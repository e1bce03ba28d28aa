"""One truth from every wearable."""
