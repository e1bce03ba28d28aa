"""The ASGI stack around an application: one file a layer, in the order in which a request meets them."""
