"""Who may do what: API keys, what requests and browsers are held to, signatures, egress, rows, secrets, the audit."""
