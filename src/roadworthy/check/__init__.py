"""A declaration against everything that follows from it: a Service goes in, findings come out."""
