"""What a service promises: objectives over its metrics, and alerts for people."""
