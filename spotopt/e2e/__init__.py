"""`./dev e2e`: the whole deployment for real on this machine, under load, and what must hold meanwhile."""
