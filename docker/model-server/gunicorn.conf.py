"""Set up gunicorn; it reads this file from the folder in which it is started."""

import os

# 0.0.0.0, not 127.0.0.1: a container's own loopback cannot be reached from outside it.
bind = f"0.0.0.0:{os.environ.get('PORT') or 8000}"

# One process: one model in memory, one set of metrics. Threads serve requests side by
# side, so that a probe is answered while a batch is being predicted. Scale by replicas.
workers = 1
worker_class = "gthread"
threads = 4

# Kubernetes spreads connections, not requests, over replicas. A connection for each
# request lets everybody see the spreading; a busy service would keep them open.
keepalive = 0

# After SIGTERM, requests under way may take this long to finish. Kubernetes kills after 30 s.
graceful_timeout = 10

# Heartbeats go to memory and no control socket is made: the root file system may be read-only.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
control_socket_disable = True

accesslog = "-"
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s bytes %(M)s ms'
