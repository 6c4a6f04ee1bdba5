"""Redis and Valkey: alone, behind Sentinel, or as a cluster."""
