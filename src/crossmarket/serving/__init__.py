"""The HTTP service: an ASGI application over the markets of an artifact, without torch."""
