"""What people and programs see: the API for users and trainers, and the operator's page with its own."""
