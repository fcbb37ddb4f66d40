"""A small dialect that tests add to a copy of the project: `/postbox`."""
