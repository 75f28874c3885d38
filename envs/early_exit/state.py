"""The endogenous state of early exit ``(N_STATE,)``, float64: what actions change, and the limits they change it within."""

LEFT, BUDGET, ACCEPTED, DONE, WINDOWS, ROWS, LEAST, LAST = range(8)
"""Budget that is left and that there was (inf: no limit), rows accepted, windows decided and in all, rows of a window, least
acceptance that is aimed at, latest action (-1: none yet)."""
LAST_ANSWERED, LAST_SENT, LAST_REJECTED, LAST_DIFFER, LAST_SURENESS, N_STATE = range(8, 14)
"""Of the latest window: shares of rows that exit 1 answered, that went past it and that were rejected; of those that went
past it, the share whose answer changed and the mean of their last certainty."""
