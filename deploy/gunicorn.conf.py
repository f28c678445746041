"""Gunicorn for the API: `gunicorn --config deploy/gunicorn.conf.py spotopt.wsgi`, as `./dev serve` does.

Each thread keeps one database connection, so a machine takes WEB_CONCURRENCY x WEB_THREADS of them.
The processes share their counters for /metrics in a directory that is made here (spotopt.monitoring.files).
"""

import fcntl
import logging.config
import os
import sys
from pathlib import Path

from gunicorn import glogging
from gunicorn.systemd import SD_LISTEN_FDS_START

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotopt.settings")

from django.conf import settings  # noqa: E402 (one reading of the environment and .env for server and application)

from spotopt.monitoring import files  # noqa: E402

logging.config.dictConfig(settings.LOGGING)


class JsonLogger(glogging.Logger):
    """Gunicorn's own messages go where the application's go, in the same form."""

    def setup(self, cfg):
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


chdir = str(ROOT)
bind = f"{settings.HOST}:{settings.PORT}"
worker_class = "spotopt.worker.Worker"  # gthread; what waits too long is refused (spotopt.common.overload)
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
threads = int(os.environ.get("WEB_THREADS", "8"))
worker_connections = 1000  # of each process, waiting ones included; more wait in the kernel (`backlog`)
keepalive = 75  # seconds: agents call every 5 to 30, a proxy keeps its connections for 60
timeout = 60  # seconds until a worker that hangs as a whole is replaced; not a limit on one request
graceful_timeout = 30  # the agents' own request timeout: nobody waits longer for an answer
# Off unless asked for: restarting workers breaks kept-alive connections under agents that never retry a POST.
max_requests = int(os.environ.get("WEB_MAX_REQUESTS", "0"))
max_requests_jitter = max_requests // 10

logger_class = JsonLogger
loglevel = settings.LOG_LEVEL.lower()
accesslog = None  # the application logs each request once, with tenant and agent
control_socket_disable = True  # it would lie in the home directory, one for all servers of this user
if Path("/dev/shm").is_dir():  # noqa: S108 (gunicorn makes an unguessable file there)
    worker_tmp_dir = "/dev/shm"  # noqa: S108 (on a slow disk the workers' sign of life would block)


def on_starting(server):
    files.open_directory()


def pre_exec(server):
    """SIGUSR2 with a socket that systemd opened: the second master looks for it where systemd would have put it."""
    if server.systemd:
        copies = [fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 64) for listener in server.LISTENERS]  # out of the way
        for number, copy in enumerate(copies):
            os.dup2(copy, SD_LISTEN_FDS_START + number)


def child_exit(server, worker):
    try:
        files.retire(worker.pid)
    except Exception:  # whatever it left must not end the server
        server.log.exception("what process %s counted is lost", worker.pid)


def on_exit(server):
    files.close_directory()
