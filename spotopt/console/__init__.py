"""The first page of the operators' console: what is wrong, and what to press."""
