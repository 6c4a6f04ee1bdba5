"""What a release's or an experiment's page shows, and how it is written."""
