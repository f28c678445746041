"""`./dev demo`: a server on SQLite, its jobs and a simulated fleet, started and ended together.

It runs outside Django, because the settings refuse to load before the secrets exist that it makes.
"""
