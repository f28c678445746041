"""A fleet of simulated agents on a simulated EC2. It knows the server only over HTTP and by its management commands."""
