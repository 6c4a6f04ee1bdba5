"""What runs the jobs: claiming, running, writing down, staying alive, rescuing."""
