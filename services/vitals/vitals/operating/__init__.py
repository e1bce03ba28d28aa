"""What an operator sees and does: who that is, how all goes, and what failed."""
