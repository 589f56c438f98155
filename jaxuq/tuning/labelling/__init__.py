"""What to label next: acquisitions, and the loop and run that label in rounds."""
