"""How a release is judged: counts in, evidence kept, a verdict out."""
