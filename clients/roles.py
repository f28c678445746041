"""Three roles of people, as groups: who may look, who may give orders, who may manage accounts.

The groups are the server's own: `migrate` gives each exactly what stands here, so a new model needs nothing but its
place in these rules. For other divisions make groups of your own; permissions count, not names.
"""

from typing import Any

from django.apps.registry import Apps
from django.apps.registry import apps as installed

READ_ONLY, OPERATORS, ADMINISTRATORS = "Read-only", "Operators", "Administrators"
ROLES = (READ_ONLY, OPERATORS, ADMINISTRATORS)

# What a browser session may do through the API, beyond looking (clients.authentication)
OPERATE, ADMINISTER = "clients.operate", "clients.administer"

FLEET = ("agents", "instances", "decisions")  # whose rows operators act on
OURS = ("clients", "notifications", *FLEET, "analytics", "spotopt")
ALSO_OPERATED = ("notifications.delivery",)
NOT_OPERATED = ("decisions.uploadedengine",)  # code that runs here


def roles_with(app_label: str, codename: str) -> tuple[str, ...]:
    """The roles that have a permission."""
    action, _, model = codename.partition("_")
    if app_label in OURS and action == "view" or (app_label, codename) == ("admin", "view_logentry"):
        return ROLES
    if f"{app_label}.{codename}" == OPERATE or (action == "change" and _is_operated(app_label, model)):
        return OPERATORS, ADMINISTRATORS
    return (ADMINISTRATORS,) if app_label in (*OURS, "auth") else ()


def _is_operated(app_label: str, model: str) -> bool:
    name = f"{app_label}.{model}"
    return (app_label in FLEET or name in ALSO_OPERATED) and name not in NOT_OPERATED


def give_permissions(app_config: Any, using: str, apps: Apps = installed, **kwargs: Any) -> None:
    """On post_migrate, which `flush` sends, too, after Django made the app's permissions. Changes only what differs."""
    try:
        group: Any = apps.get_model("auth", "Group")
        permission: Any = apps.get_model("auth", "Permission")
    except LookupError:  # without django.contrib.auth's tables yet
        return
    given = group.permissions.through._default_manager.using(using)
    own = permission._default_manager.using(using).filter(content_type__app_label=app_config.label)
    of_app = dict(own.values_list("pk", "codename"))
    if not of_app:
        return
    groups = {role: group._default_manager.using(using).get_or_create(name=role)[0].pk for role in ROLES}
    wanted = {(groups[role], pk) for pk, name in of_app.items() for role in roles_with(app_config.label, name)}
    rows = given.filter(group_id__in=groups.values(), permission_id__in=of_app)
    present = {(row.group_id, row.permission_id): row.pk for row in rows}
    rows.filter(pk__in=[pk for pair, pk in present.items() if pair not in wanted]).delete()
    given.bulk_create([given.model(group_id=g, permission_id=p) for g, p in sorted(wanted - present.keys())])
