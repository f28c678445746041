import os
import subprocess
import sys

import pytest
from django.conf import settings


@pytest.mark.parametrize("name", ["TOKEN_PEPPERS", "TOKEN_ENCRYPTION_KEYS"])
def test_an_empty_list_of_keys_is_one_that_is_not_set(name):
    """As in a copied .env.example: no client could be created without any key."""
    code = f"from django.conf import settings; print(len(settings.{name}))"
    environment = os.environ | {name: "", "DEBUG": "true", "DJANGO_SETTINGS_MODULE": "spotopt.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"
