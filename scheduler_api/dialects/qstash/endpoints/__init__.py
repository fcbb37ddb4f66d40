"""The views of the QStash dialect, one module per resource."""
