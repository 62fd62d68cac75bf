"""Judge labs by the live state of Docker and Kubernetes."""
