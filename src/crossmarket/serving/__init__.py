"""The HTTP service: a pure ASGI application over the markets of an artifact, without torch."""
