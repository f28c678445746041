# One image for the API, the event streams and the jobs: deploy/compose.yml says what each runs.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential pkg-config default-libmysqlclient-dev \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.txt /
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir -r /requirements.txt

FROM python:3.11-slim-bookworm
# mariadb-client: `manage.py backup` and `restore`
RUN apt-get update \
    && apt-get install -y --no-install-recommends libmariadb3 mariadb-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/spotopt --create-home spotopt
COPY --from=build /opt/venv /opt/venv
COPY manage.py /opt/spotopt/
COPY deploy/gunicorn.conf.py /opt/spotopt/deploy/
COPY spotopt /opt/spotopt/spotopt
COPY clients /opt/spotopt/clients
COPY notifications /opt/spotopt/notifications
COPY agents /opt/spotopt/agents
COPY instances /opt/spotopt/instances
COPY decisions /opt/spotopt/decisions
COPY analytics /opt/spotopt/analytics
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MODEL_DIR=/var/lib/spotopt/models DECISION_ENGINE_DIR=/var/lib/spotopt/engines FLASK_PORT=8000
WORKDIR /opt/spotopt
USER spotopt
EXPOSE 8000
# Of the API. The other services of compose.yml have none, or one of their own.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=5)"]
STOPSIGNAL SIGTERM
CMD ["gunicorn", "--config", "deploy/gunicorn.conf.py", "spotopt.wsgi"]
