"""Moves the old server's database here (docs/migration.md): `manage.py import_legacy`.

    source → Row (values made usable) → a Table's `convert` (the rules) → rows of our models, in batches

It knows all apps, and nothing imports it but its command.
"""
