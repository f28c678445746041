from typing import Any

from notifications.services import outbox
from spotopt.common.commands import JobCommand


class Command(JobCommand):
    help = "Send new notifications to webhooks and e-mail recipients, and try again what failed."
    interval_seconds = 10

    def run(self, **options: Any) -> str:
        made = outbox.forward()
        done = outbox.deliver_due()
        return f"{made} to deliver, {done.sent} sent, {done.failed} to try again, {done.given_up} given up"
