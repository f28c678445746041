# Thin aliases for people who type `make`; everything is in ./dev.
COMMANDS := demo test setup lint fuzz fmt serve
.PHONY: help $(COMMANDS)
help:
	@./dev
$(COMMANDS):
	@./dev $@
