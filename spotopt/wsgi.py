import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotopt.settings")
application = get_wsgi_application()

from notifications.stream.shutdown import watch_signals  # noqa: E402 (needs the applications to be loaded)

watch_signals()
