"""What benchmarks serve and load with."""
