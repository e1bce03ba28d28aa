"""What each service does while something that it depends on is slow, hangs, is cut off or lies, and when it is back."""
