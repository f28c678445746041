from django.apps import AppConfig


class SpotoptConfig(AppConfig):
    name = "spotopt"
    verbose_name = "Spot Optimizer"

    def ready(self) -> None:
        from spotopt import checks  # noqa: F401 (registers the system checks)
