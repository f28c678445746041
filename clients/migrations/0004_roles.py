from typing import Any

from django.conf import settings
from django.db import migrations

RIGHTS = [
    ("operate", "Can give orders to the fleet through the API"),
    ("administer", "Can manage clients, tokens and uploads through the API"),
]


def create_roles(apps: Any, schema_editor: Any) -> None:
    """The groups; clients.roles fills them after each `migrate`. Staff of before keep what they could do through the API."""
    using = schema_editor.connection.alias
    for name in ("Read-only", "Operators", "Administrators"):
        apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
    user_model = apps.get_model(settings.AUTH_USER_MODEL)
    staff = list(user_model.objects.using(using).filter(is_staff=True, is_superuser=False))
    if not staff:
        return
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    content_type, _ = content_types.get_or_create(app_label="clients", model="client")
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    rights = [
        permissions.get_or_create(content_type=content_type, codename=codename, defaults={"name": name})[0]
        for codename, name in RIGHTS
    ]
    for user in staff:
        user.user_permissions.add(*rights)


class Migration(migrations.Migration):
    dependencies = [
        ("clients", "0003_decision_mode"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(name="client", options={"permissions": RIGHTS}),
        migrations.RunPython(create_roles, migrations.RunPython.noop),
    ]
