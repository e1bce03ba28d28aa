"""The methods by which a Service declares, one module for each part of it."""
