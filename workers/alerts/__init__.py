"""Alerts: one message to the operator's URL at each change of the cell's state."""
