"""What fits a family elsewhere than in this process; the artifact does not tell."""
