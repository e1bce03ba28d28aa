"""Who was active on which day: counted exactly, kept without names."""
