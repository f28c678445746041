"""`./dev faults`: everything that can break is broken at random moments under load, and nothing may be lost."""
