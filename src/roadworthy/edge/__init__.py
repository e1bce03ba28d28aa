"""The edge: what browsers and CDNs may keep of a response, and how they are told to let go of it."""
