import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotopt.settings")
django_application = get_wsgi_application()

# Both need the applications to be loaded.
from agents.middleware import AnswerFromMemory  # noqa: E402
from notifications.stream.shutdown import watch_signals  # noqa: E402

application = AnswerFromMemory(django_application)
watch_signals()
