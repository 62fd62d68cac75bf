"""Serve a model that reads handwritten digits."""

from digits_server.app import create_app

__all__ = ["create_app"]
