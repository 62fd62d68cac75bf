"""Bring up what labs stand on: engine, images, cluster, addons."""
