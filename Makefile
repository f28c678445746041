# Thin aliases for people who type `make`; everything is in ./dev.
COMMANDS := demo test setup lint fuzz e2e fmt serve
.PHONY: help $(COMMANDS)
help:
	@./dev
$(COMMANDS):
	@./dev $@
