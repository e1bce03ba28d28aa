"""What operations need, as text: pure functions of a declaration. The same declaration gives the same text."""
