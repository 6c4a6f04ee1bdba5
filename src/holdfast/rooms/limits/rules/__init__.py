"""What the limits decide: policies, algorithms, headers, how many may be inside at once. Pure."""
