"""Mathematics that several rooms share."""
