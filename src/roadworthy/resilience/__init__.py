"""What stands between a service and what it depends on, so that neither takes the other down."""
