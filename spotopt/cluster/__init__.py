"""`./dev cluster`: several machines with a Galera cluster, on this one. docs/scaling.md says what it proves."""
