"""Documents, their versions and what they are found by, in the service's database."""
