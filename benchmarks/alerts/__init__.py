"""Every alert of the reference services made to fire by its cause, in Debian's Prometheus and Alertmanager."""
