"""Pictures as inline SVG: pure functions from figures to markup, without a library."""
