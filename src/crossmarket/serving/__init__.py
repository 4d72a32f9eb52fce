"""The HTTP service: an ASGI application (Starlette) over the markets of an artifact, without torch."""
