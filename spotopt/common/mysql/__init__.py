"""Django's backend for MySQL and MariaDB, for servers that go away in the middle of something."""
