"""What a service costs: a price sheet, what is metered, and by whose doing."""
