"""The sites that are searched: their settings, their crawls as they go, and what people search for on them."""
