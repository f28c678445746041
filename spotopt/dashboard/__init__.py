"""What an operator's browser sees: the login, then a configured dashboard bundle or the server's own overview."""
