"""Health: what is checked, when a service is ready, and the report that says what is wrong."""
