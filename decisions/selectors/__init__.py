from decisions.selectors.status import engine_status

__all__ = ["engine_status"]
