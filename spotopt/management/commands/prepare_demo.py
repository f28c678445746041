import json
import os
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

from clients.errors import TokenUnreadable
from clients.models import Client
from clients.services import create_client, fold, regenerate_token, reveal_token
from spotopt.demo.environment import OPERATOR

CLIENT = "Demo"
ACTOR = "demo"


class Command(BaseCommand):
    help = "For `./dev demo`: make sure that its client and operator exist; prints the client's id and token as JSON."

    def handle(self, *args: Any, **options: Any) -> None:
        ensure_operator(password=os.environ["DEMO_PASSWORD"])
        client, token = ensure_client()
        self.stdout.write(json.dumps({"client_id": client.public_id, "token": token}))


def ensure_operator(*, password: str) -> None:
    user, _ = User.objects.get_or_create(username=OPERATOR, defaults={"is_staff": True, "is_superuser": True})
    if not user.check_password(password):
        user.set_password(password)
        user.save()


def ensure_client() -> tuple[Client, str]:
    client = Client.objects.filter(name_key=fold(CLIENT)).first()
    if client is None:
        return create_client(name=CLIENT, actor=ACTOR)
    try:
        return client, reveal_token(client=client, actor=ACTOR)
    except TokenUnreadable:
        return client, regenerate_token(client=client, actor=ACTOR)
