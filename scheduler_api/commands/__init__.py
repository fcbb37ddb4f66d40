"""The commands of the operator's command line; `cli` puts them together."""
