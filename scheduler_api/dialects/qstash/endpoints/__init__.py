"""The routes of the QStash dialect, one file per group of them."""
