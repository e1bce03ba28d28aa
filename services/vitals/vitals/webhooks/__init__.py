"""From a signed request to a stored event and its job."""
