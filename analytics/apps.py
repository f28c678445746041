from django.apps import AppConfig
from django.db.models.signals import post_save


class AnalyticsConfig(AppConfig):
    name = "analytics"

    def ready(self) -> None:
        from analytics.services.switch_tallies import on_switch_saved

        # `instances` must not know of us, and whoever saves a switch must not forget its count.
        post_save.connect(on_switch_saved, sender="instances.Switch", dispatch_uid="switch_tallies")
