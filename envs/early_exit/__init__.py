"""Early exit: how sure must an exit be before it answers (docs/early_exit.md)."""
