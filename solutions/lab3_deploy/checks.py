"""Judge lab 3: what the learner's manifests made in the namespace."""

from __future__ import annotations
