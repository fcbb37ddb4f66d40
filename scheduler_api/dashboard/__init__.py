"""The dashboard: HTML pages for tenants and operators, served at `/`."""
